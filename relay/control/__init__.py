"""The control plane: what APIs, namespaces, keys and domains exist, and who changes them."""
