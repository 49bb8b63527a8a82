//! Recording a command or a container by user notification: the kernel reports each syscall before it is executed.

use std::os::unix::net::UnixListener;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use palisade_sys::notify::{self, Listener};
use palisade_sys::process::leave_interrupts_to_children;
use palisade_sys::seccomp::Loading;

use crate::container::Containers;
use crate::error::Error;
use crate::recording::Recording;

/// `ret SECCOMP_RET_USER_NOTIF`: every syscall of every ABI is told.
const TELL_ALL: [u8; 8] = [0x06, 0, 0, 0, 0x00, 0x00, 0xc0, 0x7f];

/// Runs a command to its end, and gives what it and its children did. It has no other filter.
pub fn command(command: Command) -> Result<(Recording, ExitStatus), Error> {
    let name = std::path::PathBuf::from(command.get_program());
    let wrong = |source| Error::Runtime { runtime: name.clone(), source };
    let loading = Loading { programs: vec![TELL_ALL.to_vec()], log: false, spec_allow: true };
    let supervised = notify::spawn(command, &loading).map_err(wrong)?;
    leave_interrupts_to_children();
    let mut recording = Recording::of_one_run();
    listen(&supervised.listener, |arch, number, args| recording.add(arch, number, args)).map_err(wrong)?;
    let no_child = || std::io::Error::other("the command could not be started");
    let child = supervised.child.join().map_err(|_| wrong(no_child()))?;
    let status = child.and_then(|mut child| child.wait()).map_err(wrong)?;
    Ok((recording, status))
}

/// A container that will be recorded once the engine starts it.
#[derive(Debug)]
pub struct Waiting {
    listener: UnixListener,
    socket: std::path::PathBuf,
}

/// Waits for the next start of a container with this id by the handler of these containers. What the container's
/// profile denies stays denied, and is not recorded.
pub fn container(containers: &Containers, id: &str) -> Result<Waiting, Error> {
    let socket = containers.recorder_socket(id)?;
    let io = |error| Error::file(&socket, error);
    if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        return Err(io(std::io::Error::other("somebody else records this container")));
    }
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    Ok(Waiting { listener: UnixListener::bind(&socket).map_err(io)?, socket })
}

impl Waiting {
    /// Records until the container has ended; processes that join it meanwhile are recorded too.
    pub fn record(self) -> Result<Recording, Error> {
        let recording = Arc::new(Mutex::new(Recording::of_one_run()));
        let (sender, events) = mpsc::channel();
        let (listener, shared) = (self.listener.try_clone(), Arc::clone(&recording));
        let listener = listener.map_err(|error| Error::file(&self.socket, error))?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // The handler checks whether a recorder waits, and sends nothing.
                let Ok(listener) = Listener::receive_from(&stream) else { continue };
                let (sender, shared) = (sender.clone(), Arc::clone(&shared));
                let _ = sender.send(Event::Began);
                std::thread::spawn(move || {
                    let add = |arch, number, args: &_| {
                        shared.lock().unwrap_or_else(PoisonError::into_inner).add(arch, number, args);
                    };
                    let _ = sender.send(Event::Ended(listen(&listener, add)));
                });
            }
        });
        let mut open = 0_usize;
        for event in events {
            match event {
                Event::Began => open += 1,
                Event::Ended(result) => {
                    result.map_err(|error| Error::file(&self.socket, error))?;
                    open = open.saturating_sub(1);
                }
            }
            if open == 0 {
                break;
            }
        }
        Ok(recording.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// An event of the container, or of a process that joined it with a filter of its own.
enum Event {
    Began,
    Ended(std::io::Result<()>),
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Lets every syscall continue, until no process is left.
fn listen(listener: &Listener, mut add: impl FnMut(u32, u32, &[u64; 6])) -> std::io::Result<()> {
    listener.stay_on_one_processor();
    while let Some(call) = listener.receive()? {
        listener.allow(call.id)?;
        add(call.arch, call.number, &call.args);
    }
    Ok(())
}
