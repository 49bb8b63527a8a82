//! The image of the pause container, which holds a pod's namespaces: one program of a few bytes that waits.

use std::io::Write;

use sha2::{Digest, Sha256};

/// The image's name.
pub(crate) const NAME: &str = "palisade.invalid/pause:1";

/// Ignores SIGCHLD, so that the kernel reaps orphans that are reparented to process 1 of a shared PID namespace, then
/// waits without end.
#[cfg(target_arch = "x86_64")]
const CODE: [u8; 33] = [
    0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x01, // push mask, restorer, flags, SIG_IGN
    0x48, 0x89, 0xe6, // mov rsi, rsp
    0x6a, 0x11, 0x5f, // rdi = SIGCHLD
    0x31, 0xd2, // rdx = no old action
    0x6a, 0x08, 0x41, 0x5a, // r10 = 8, the size of a mask
    0x6a, 0x0d, 0x58, 0x0f, 0x05, // rt_sigaction
    0x6a, 0x22, 0x58, 0x0f, 0x05, // pause
    0xeb, 0xf9, 0x90, // and again
];
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;

/// The same: `rt_sigaction(SIGCHLD, {SIG_IGN}, 0, 8)`, then `ppoll(0, 0, 0, 0)` in a loop.
#[cfg(target_arch = "aarch64")]
const CODE: [u8; 64] = {
    let words: [u32; 16] = [
        0xd100_83ff, // sub sp, sp, #32
        0xd280_0029, // mov x9, #1
        0xa900_7fe9, // stp x9, xzr, [sp]
        0xa901_7fff, // stp xzr, xzr, [sp, #16]
        0xd280_0220, // mov x0, #17
        0x9100_03e1, // mov x1, sp
        0xd280_0002, // mov x2, #0
        0xd280_0103, // mov x3, #8
        0xd280_10c8, // mov x8, #134
        0xd400_0001, // svc #0
        0xd280_0000, // mov x0, #0
        0xd280_0001, // mov x1, #0
        0xd280_0003, // mov x3, #0
        0xd280_0928, // mov x8, #73
        0xd400_0001, // svc #0
        0x17ff_fffb, // b -5
    ];
    let mut bytes = [0; 64];
    let mut at = 0;
    while at < 64 {
        #[expect(clippy::indexing_slicing, reason = "constant bounds, checked as this is compiled")]
        {
            bytes[at] = words[at / 4].to_le_bytes()[at % 4];
        }
        at += 1;
    }
    bytes
};
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// The load address of the program.
const BASE: u64 = 0x40_0000;
/// The size of the headers before the code: the file's and one segment's.
const HEADERS: u16 = 64 + 56;

/// The program, an ELF file.
fn program() -> Vec<u8> {
    let size = u64::from(HEADERS) + CODE.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves =
        |file: &mut Vec<u8>, all: &[u16]| all.iter().for_each(|half| file.extend(half.to_le_bytes()));
    let longs = |file: &mut Vec<u8>, all: &[u64]| all.iter().for_each(|long| file.extend(long.to_le_bytes()));
    halves(&mut file, &[2, MACHINE, 1, 0]);
    longs(&mut file, &[BASE + u64::from(HEADERS), 64, 0]);
    halves(&mut file, &[0, 0, 64, 56, 1, 0, 0, 0]);
    // One segment: loadable, readable and executable.
    halves(&mut file, &[1, 0, 5, 0]);
    longs(&mut file, &[0, BASE, BASE, size, size, 0x1000]);
    file.extend(CODE);
    file
}

fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, name, bytes)
}

/// The image as an archive that engines import.
pub(crate) fn archive() -> std::io::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, "pause", 0o755, &program())?;
    let layer = layer.into_inner()?;
    let digest: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let architecture = if MACHINE == 62 { "amd64" } else { "arm64" };
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux", "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]);
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, "config.json", 0o644, config.to_string().as_bytes())?;
    append(&mut archive, "layer.tar", 0o644, &layer)?;
    append(&mut archive, "manifest.json", 0o644, manifest.to_string().as_bytes())?;
    let mut bytes = archive.into_inner()?;
    bytes.flush()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_program_waits() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pause");
        std::fs::write(&path, program()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = std::process::Command::new(&path).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let stat = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        assert!(stat.contains("State:\tS"), "{stat}");
        // Bit 16 is SIGCHLD.
        let ignored = stat.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
        assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 1 << 16, 1 << 16);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
