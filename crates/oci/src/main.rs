//! `palisade-oci` by itself: what the `palisade` binary is under that name, for machines that need nothing else.

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    {
        let mut words = std::env::args_os();
        let name = words.next().unwrap_or_default();
        palisade_oci::run(name.as_ref(), words.collect()).into()
    }
    #[cfg(not(target_os = "linux"))]
    std::process::ExitCode::FAILURE
}
