//! A program in a terminal: a pseudo-terminal, and what would be seen on it.

use crate::command;
use nix::{
    pty::{Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{Termios, tcgetattr},
    },
    unistd::{Pid, setsid},
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZero,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, ExitStatus},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// What a test waits for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// What nobody else writes: sets the title of a window.
const LAST: &[u8] = b"\x1b]2;the end\x07";

/// A program with its terminal. It is killed when this goes.
pub struct Terminal {
    program: Child,
    keyboard: File,
    written: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    side: OwnedFd,
    before: Termios,
}

impl Terminal {
    /// Starts a program in a terminal of its own.
    pub fn start(program: &mut Command, (rows, columns): (u16, u16)) -> Self {
        let pty = openpty(&size(rows, columns), None).expect("a pseudo-terminal");
        let before = tcgetattr(&pty.slave).expect("its settings");
        let side = || pty.slave.try_clone().expect("a descriptor");
        program
            .env("TERM", "xterm-256color")
            .stdin(side())
            .stdout(side())
            .stderr(side());
        // SAFETY: two system calls between fork and exec, on descriptor 0, which is the terminal by then.
        unsafe {
            program.pre_exec(|| {
                setsid()?;
                // So that it is told of changes of the size.
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let program = command::spawn(program).expect("it starts");
        let keyboard = File::from(pty.master);
        let mut output = keyboard.try_clone().expect("a descriptor");
        let (send, written) = mpsc::channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // Ends when nobody has the other side open.
            while let Ok(n @ 1..) = output.read(&mut piece) {
                if send.send(piece[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            program,
            keyboard,
            written,
            screen: vt100::Parser::new(cells(rows), cells(columns), 0),
            side: pty.slave,
            before,
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Changes the size.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.screen.screen_mut().set_size(cells(rows), cells(columns));
        let size = size(rows, columns);
        // SAFETY: the request reads a `winsize`, which `size` is.
        let done = unsafe { libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        // A process id fits.
        kill(Pid::from_raw(self.program.id() as i32), signal).expect("it runs");
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Whether anything on the screen has a colour.
    pub fn has_colour(&self) -> bool {
        let screen = self.screen.screen();
        let (rows, columns) = screen.size();
        let mut cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        cells.any(|(row, column)| {
            let cell = screen.cell(row, column);
            cell.is_some_and(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default)
        })
    }

    /// Waits until the screen shows all of this.
    #[track_caller]
    pub fn shows(&mut self, texts: &[&str]) {
        let end = Instant::now() + PATIENCE;
        while !texts.iter().all(|text| self.text().contains(text)) {
            let left = end.saturating_duration_since(Instant::now());
            match self.written.recv_timeout(left) {
                Ok(piece) => self.take(&piece),
                Err(error) => panic!("{texts:?} did not come ({error}):\n{}", self.text()),
            }
        }
    }

    /// Waits for the end of the program: its status, given that the terminal is as it was before.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, String) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.program.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < end, "it did not end:\n{}", self.text());
            thread::sleep(Duration::from_millis(5));
        };
        let now = tcgetattr(&self.side).expect("its settings");
        assert!(now == self.before, "keys are read by lines and shown, as before");
        // All that it wrote is in the terminal's queue by now, before this: a title, which is not on the screen.
        let side = self.side.try_clone().expect("a descriptor");
        File::from(side).write_all(LAST).expect("written");
        let mut written = Vec::new();
        while !written.ends_with(LAST) {
            let left = end.saturating_duration_since(Instant::now());
            let piece = self.written.recv_timeout(left).expect("all that was written");
            self.take(&piece);
            written.extend(piece);
        }
        assert!(
            !self.screen.screen().alternate_screen(),
            "the screen from before is back"
        );
        assert!(!self.screen.screen().hide_cursor(), "the cursor is back");
        (status, self.text())
    }

    fn take(&mut self, piece: &[u8]) {
        self.screen.process(piece);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.program.kill();
        let _ended = self.program.wait();
    }
}

fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).expect("more than none")
}

const fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
