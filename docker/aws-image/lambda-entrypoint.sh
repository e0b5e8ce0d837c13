#!/bin/sh
# What AWS's base images do first: one argument, the handler; then the runtime, which is told by the
# environment where its API is.
[ $# -eq 1 ] || { echo "the handler must be the only argument" >&2; exit 142; }
export _HANDLER="$1"
[ -n "${AWS_LAMBDA_RUNTIME_API}" ] || { echo "no emulator in this stand-in" >&2; exit 1; }
exec /var/runtime/bootstrap
