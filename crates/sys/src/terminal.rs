//! The user's terminal.

/// Makes the terminal as it was when it is dropped.
#[must_use]
pub struct Changed(Option<libc::termios>);

impl std::fmt::Debug for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Changed").field(&self.0.is_some()).finish()
    }
}

/// Hides what is typed, for passwords. Does nothing where stdin is not a terminal.
pub fn hide_input() -> Changed {
    change(|state| state.c_lflag &= !libc::ECHO)
}

/// Gives every key as it is pressed, for a terminal elsewhere. Does nothing where stdin is not a terminal.
pub fn raw_input() -> Changed {
    // SAFETY: the pointer is to a live `termios`, which the call changes in memory only.
    change(|state| unsafe { libc::cfmakeraw(state) })
}

/// Columns and rows of the terminal at stdin, if that is one.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a live `winsize`, which this request fills in.
    let result = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0).then_some((size.ws_col, size.ws_row))
}

fn change(change: impl FnOnce(&mut libc::termios)) -> Changed {
    let Some(before) = state() else { return Changed(None) };
    let mut after = before;
    change(&mut after);
    set(&after);
    Changed(Some(before))
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            set(before);
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
