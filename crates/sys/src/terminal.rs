//! The terminal that a person types at.

/// Shows what is typed again when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Hidden(Option<libc::tcflag_t>);

/// Hides what is typed, for passwords. Where stdin is no terminal, nothing happens.
pub fn hide_input() -> Hidden {
    let Some(mut state) = state() else { return Hidden(None) };
    let before = state.c_lflag;
    state.c_lflag &= !libc::ECHO;
    set(&state);
    Hidden(Some(before))
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let (Some(flags), Some(mut state)) = (self.0, state()) {
            state.c_lflag = flags;
            set(&state);
        }
    }
}

fn state() -> Option<libc::termios> {
    let mut state = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the pointer is to memory of the type that the call fills in.
    let result = unsafe { libc::tcgetattr(libc::STDIN_FILENO, state.as_mut_ptr()) };
    // SAFETY: the call says that it has filled it in.
    (result == 0).then(|| unsafe { state.assume_init() })
}

fn set(state: &libc::termios) {
    // SAFETY: the pointer is to a live `termios`, which the call only reads.
    let _ = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, state) };
}
