//! Lanes: threads of low priority for work that takes long, so that it takes no time from what takes little.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Added to the niceness of these threads: one that has nothing else beside it still gets all of a processor.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// Threads of low priority and their queue of jobs.
#[derive(Debug)]
pub struct Lane(Mutex<Sender<Job>>);

/// The jobs of a lane.
type Jobs = Arc<Mutex<Receiver<Job>>>;

thread_local! {
    /// The jobs that this thread goes on with after the present one.
    static NEXT: RefCell<Option<Jobs>> = const { RefCell::new(None) };
}

impl Lane {
    /// Starts threads, which end when this is dropped.
    pub fn start(threads: usize) -> Self {
        let (sender, receiver) = channel();
        let jobs = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            if let Err(error) = spawn(&jobs) {
                tracing::error!("a thread for slow requests cannot be started: {error}");
            }
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

/// Has another thread take the place of this one, if it is one of a lane; this one ends with its job.
pub(crate) fn leave() {
    if let Some(jobs) = NEXT.take()
        && spawn(&jobs).is_err()
    {
        NEXT.set(Some(jobs));
    }
}

fn spawn(jobs: &Jobs) -> std::io::Result<()> {
    let jobs = Arc::clone(jobs);
    std::thread::Builder::new().spawn(move || run(jobs)).map(drop)
}

fn run(jobs: Jobs) {
    // If the priority cannot be lowered, the work continues at normal priority.
    let _ = rustix::process::nice(NICE);
    NEXT.set(Some(jobs));
    while let Some(jobs) = NEXT.with_borrow(Clone::clone) {
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
    async fn a_job_that_waits_leaves_its_thread_to_others() {
        let lane = Lane::start(1);
        let (end, ended) = channel::<()>();
        let waits = lane.run(move || {
            leave();
            leave();
            ended.recv().is_ok()
        });
        let other = async {
            for number in 0..3 {
                assert_eq!(lane.run(move || number).await, Some(number));
            }
            end.send(()).unwrap();
        };
        assert_eq!(tokio::join!(waits, other).0, Some(true));
        let names = async || lane.run(|| std::thread::current().id()).await.unwrap();
        assert_eq!(names().await, names().await, "one thread is left");
    }

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
