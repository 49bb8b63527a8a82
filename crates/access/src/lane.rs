//! Lanes: threads of low priority for work that takes long, so that it takes no time from what takes little.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Added to the niceness of these threads: one that has nothing else beside it still gets all of a processor.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// Threads of low priority and their queue of jobs.
#[derive(Debug)]
pub struct Lane(Mutex<Sender<Job>>);

impl Lane {
    /// Starts threads, which end when this is dropped.
    pub fn start(threads: usize) -> Self {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = Arc::clone(&receiver);
            std::thread::spawn(move || run(&receiver));
        }
        Self(Mutex::new(sender))
    }

    /// Runs `work` on a thread of the lane; `None` if it panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // A waiting request may have been cancelled.
            let _ = done.send(work());
        });
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).send(job));
        result.await.ok()
    }
}

fn run(jobs: &Mutex<Receiver<Job>>) {
    // If the priority cannot be lowered, the work continues at normal priority.
    let _ = rustix::process::nice(NICE);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The thread outlives a panic; the caller that waits for the result is told.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_outlives_a_fault() {
        let lane = Lane::start(1);
        assert_eq!(lane.run(|| 1).await, Some(1));
        assert_eq!(lane.run(|| -> u8 { panic!("a fault of ours") }).await, None);
        assert_eq!(lane.run(|| 2).await, Some(2));
        let nice = lane.run(|| rustix::process::getpriority_process(None).unwrap()).await.unwrap();
        let ours = rustix::process::getpriority_process(None).unwrap();
        assert!(nice > ours || ours == 19, "{nice} {ours}");
    }
}
