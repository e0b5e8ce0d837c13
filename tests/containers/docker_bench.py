"""Opens a lab of containers as ``natless.lab`` does."""

from contextlib import asynccontextmanager

from natless.certificates import Authority, aws_names
from natless.vpc.docker_lab import DockerLab

LABEL = "abcdefghijklmnopqrstuvwxyz"


@asynccontextmanager
async def open_lab(folder, journal):
    folder.chmod(0o755)
    authority = Authority.for_user(folder / "authority")
    served = authority.issue([*aws_names("us-east-1"), "localhost"], directory=folder)
    ca = folder / "ca.pem"
    ca.write_bytes(authority.ca_path.read_bytes())
    async with DockerLab.open(
        label=LABEL,
        region="us-east-1",
        certificate=served,
        ca=ca,
        journal=journal,
        directory=folder,
    ) as vpc:
        yield vpc, served, ca
