#!/usr/bin/env python3
"""Writes src/table/calls.rs from the headers of two kernels and from syscalls(2).

    syscalls.py NEW OLD PAGE > crates/seccomp/src/table/calls.rs

NEW and OLD are folders usr/lib/linux/uapi of Debian's package linux-libc-dev, unpacked: NEW the newest kernel's (its table
was made with 7.3.4-1~bpo13+1), OLD that of 6.12, the last that had 31-bit s390 (6.12.117-1). PAGE is syscalls.2.gz of
manpages-dev (6.20-2). Kernels after NEW: fetch its package, run this, and date in SINCE what it complains of.
"""

import gzip
import pathlib
import re
import sys

HEADERS = {
    "x86_64": "x86/asm/unistd_64.h",
    "x86": "x86/asm/unistd_32.h",
    "x32": "x86/asm/unistd_x32.h",
    "aarch64": "arm64/asm/unistd_64.h",
    "arm": "arm/asm/unistd-eabi.h",
    "riscv64": "riscv/asm/unistd_64.h",
    "ppc64le": "powerpc/asm/unistd_64.h",
    "s390x": "s390/asm/unistd_64.h",
    "s390": "s390/asm/unistd_32.h",
    "loongarch64": "loongarch/asm/unistd_64.h",
    "mips64el": "mips/asm/unistd_n64.h",
    "mipsel64n32": "mips/asm/unistd_n32.h",
    "mipsel": "mips/asm/unistd_o32.h",
}

# What the page does not date: calls that glibc's manual pages leave out, and those newer than the page.
SINCE = {
    "2.6": "arm_fadvise64_64 arm_sync_file_range epoll_ctl_old epoll_wait_old timerfd",
    "5.12": "mount_setattr",
    "5.15": "process_mrelease",
    "5.16": "futex_waitv",
    "5.17": "set_mempolicy_home_node",
    "6.4": "riscv_hwprobe",
    "6.5": "cachestat",
    "6.6": "fchmodat2 map_shadow_stack",
    "6.7": "futex_requeue futex_wait futex_wake",
    "6.8": "listmount lsm_get_self_attr lsm_list_modules lsm_set_self_attr statmount",
    "6.10": "mseal",
    "6.11": "uretprobe",
    "6.13": "getxattrat listxattrat removexattrat setxattrat",
    "6.15": "open_tree_attr",
    "6.17": "file_getattr file_setattr",
    "6.18": "uprobe",
    "6.19": "listns",
    "7.0": "rseq_slice_yield",
    "7.3": "fchroot",
    # Never implemented, or long gone.
    "1.0": "afs_syscall break cachectl ftime getpmsg gtty idle lock mpx multiplexer pread64 prof profil putpmsg"
    " pwrite64 security stty tuxcall ulimit vserver",
}

BASES = r"__X32_SYSCALL_BIT|__NR_Linux|__NR_SYSCALL_BASE|__ARM_NR_BASE"
NUMBER = re.compile(rf"#define __(?:ARM_)?NR_(\w+)\s+\(?(?:(?:{BASES})\s*\+\s*)?(0x[0-9a-f]+|\d+)\)?")
UNUSED = re.compile(r"(reserved|unused)\d+|Linux_syscalls|SYSCALL_BASE|OABI_SYSCALL_BASE")
ARM_PRIVATE = 0xF0000
# From here on a call has the same number on every architecture.
SHARED = 424


def numbers(header):
    """Each call's number in a header, without the ABI's base."""
    found = (NUMBER.match(line) for line in header.read_text().splitlines())
    calls = {match[1]: int(match[2], 0) for match in found if match}
    return {name: number for name, number in calls.items() if not UNUSED.fullmatch(name)}


def table(new, old, since):
    """Each architecture's numbers."""
    calls = {}
    for arch, header in HEADERS.items():
        newest = new / header
        calls[arch] = numbers(newest if newest.exists() else old / header)
    private = numbers(new / "arm/asm/unistd.h")
    calls["arm"] |= {name: ARM_PRIVATE + at for name, at in private.items() if at and at < 16}
    # Numbers are the same everywhere by then, and 31-bit s390 went with 6.19.
    later = {name: number for name, number in calls["s390x"].items() if number >= SHARED}
    calls["s390"] |= {name: number for name, number in later.items() if numeric(since[name]) < (6, 19)}
    # A second name, by which C knows the call.
    calls["arm"]["sync_file_range2"] = calls["arm"]["arm_sync_file_range"]
    return calls


def versions(page):
    """The kernel that brought each call, by the page and by `SINCE`."""
    text = gzip.open(page, "rt").read()
    dated = re.findall(
        r"^(?:\\f(?:B|\[B\])|\.BR )(\w+)(?:\\f(?:P|\[\])\(2\)| \(2\)\nT})\t(\d+\.\d+)", text, re.MULTILINE
    )
    since = dict(dated)
    for version, names in SINCE.items():
        since |= dict.fromkeys(names.split(), version)
    return since


def numeric(version):
    return tuple(int(part) for part in version.split("."))


def version_of(name, since):
    """A call's version; the calls with 64-bit times of 32-bit ABIs came together in 5.1."""
    version = since.get(name) or ("5.1" if name.endswith("64") else None)
    if version is None:
        sys.exit(f"{name}: neither the page nor SINCE dates it")
    return numeric(version)


def main(new, old, page):
    since = versions(page)
    syscalls = table(pathlib.Path(new), pathlib.Path(old), since)
    names = sorted(set().union(*syscalls.values()))
    print("//! Every syscall of every ABI: its number, and the kernel that brought it.\n//!")
    print("//! Written by tools/syscalls.py, which says from what. Columns:")
    print(f"//! {', '.join(HEADERS)}.\n")
    print("use super::{NONE as N, Row};\n")
    print("const fn c(name: &'static str, major: u8, minor: u8, numbers: [u32; 13]) -> Row {")
    print("    Row { name, since: (major, minor), numbers }\n}\n")
    print(f"#[rustfmt::skip]\npub(super) static SYSCALLS: [Row; {len(names)}] = [")
    for name in names:
        row = ", ".join(str(syscalls[arch].get(name, "N")) for arch in HEADERS)
        print(f'    c("{name}", {", ".join(map(str, version_of(name, since)))}, [{row}]),')
    print("];")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
