import errno

import pytest

from natless.vpc import capability
from natless.vpc.capability import Circumstances, cause_of, explain_failure

PLAIN = Circumstances()


@pytest.mark.parametrize(
    ("around", "said", "hint"),
    [
        (
            Circumstances({"kernel.unprivileged_userns_clone": "0"}),
            "plain users may not make user namespaces",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            Circumstances({"kernel.apparmor_restrict_unprivileged_userns": "1"}),
            "AppArmor",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (Circumstances(has_seccomp=True), "filter of system calls", "seccomp=unconfined"),
        (PLAIN, "namespaces are forbidden here", "Run it as root"),
    ],
)
@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_a_lack_of_permission_names_what_takes_it(around, said, hint, number):
    cause = explain_failure("namespaces", number, "not permitted", around=around)
    assert said in cause.message
    assert "EPERM" in cause.message
    assert hint in cause.hint


def test_a_setting_for_plain_users_is_not_blamed_when_root_is_refused():
    around = Circumstances(
        {"kernel.unprivileged_userns_clone": "0"}, is_root=True, has_seccomp=True
    )
    cause = explain_failure("namespaces", errno.EPERM, "not permitted", around=around)
    assert "filter of system calls" in cause.message


@pytest.mark.parametrize(
    ("step", "number", "said", "hint"),
    [
        ("namespaces", errno.ENOSPC, "ENOSPC", "user.max_user_namespaces=10000"),
        ("network namespaces", errno.ENOSPC, "ENOSPC", "user.max_net_namespaces=10000"),
        ("namespaces", errno.EINVAL, "no user or network namespaces", "CONFIG_USER_NS"),
        ("namespaces", errno.ENOSYS, "no user or network namespaces", "CONFIG_USER_NS"),
        ("veth", errno.EOPNOTSUPP, "veth", "modprobe veth"),
        ("nft", errno.EOPNOTSUPP, "nftables", "modprobe -a nf_tables"),
        ("name lookup", errno.ENOENT, "names cannot be looked up", "touch /etc/resolv.conf"),
        ("forwarding", errno.EROFS, "forwarding", "--network docker"),
    ],
)
def test_a_missing_part_of_the_kernel_is_named_with_what_brings_it(step, number, said, hint):
    cause = explain_failure(step, number, "no", around=PLAIN)
    assert said in cause.message
    assert hint in cause.hint


def test_a_ready_lab_has_no_cause():
    assert cause_of({"event": "ready"}) is None


def test_a_failed_step_has_one():
    packet = {"event": "failed", "step": "veth", "errno": errno.EOPNOTSUPP, "message": "no"}
    assert "modprobe veth" in str(cause_of(packet))


def test_another_system_is_told_so(monkeypatch):
    monkeypatch.setattr(capability.sys, "platform", "darwin")
    capability.find_cause.cache_clear()
    try:
        assert "Linux only, this is darwin" in capability.can_use_namespaces()
    finally:
        capability.find_cause.cache_clear()
