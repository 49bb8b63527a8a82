//! The cost of a recording: a shell that starts programs, undisturbed and recorded, in one run, in turns.
//! `cargo bench -p palisade-oci --bench record`.

#[cfg(target_os = "linux")]
fn main() {
    bench::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]
mod bench {
    use std::process::Command;
    use std::time::Instant;

    use palisade_oci::recorder;

    const ROUNDS: usize = 20;

    pub(super) fn main() {
        let (mut plain, mut recorded) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plain.push(milliseconds(|| assert!(shell().status().unwrap().success())));
            recorded.push(milliseconds(|| assert!(recorder::command(shell()).unwrap().1.success())));
        }
        // Of the same round, so that what else the machine does counts for both.
        let ratios = plain.iter().zip(&recorded).map(|(plain, recorded)| recorded / plain).collect();
        println!("{:<12} {:>8} {:>8}", "ms", "least", "median");
        for (name, times) in [("undisturbed", plain), ("recorded", recorded)] {
            let least = times.iter().copied().fold(f64::INFINITY, f64::min);
            println!("{name:<12} {least:>8.1} {:>8.1}", median(times));
        }
        println!("ratio        {:>17.2}", median(ratios));
    }

    /// 150 short programs that read two files each: what a container's start script does most.
    fn shell() -> Command {
        let script = "i=0; while [ $i -lt 150 ]; do cat /etc/passwd /etc/group > /dev/null; i=$((i+1)); done";
        let mut command = Command::new("/usr/bin/busybox");
        command.args(["sh", "-c", script]);
        command
    }

    fn milliseconds(run: impl FnOnce()) -> f64 {
        let begin = Instant::now();
        run();
        begin.elapsed().as_secs_f64() * 1000.0
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}
