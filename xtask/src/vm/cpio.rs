//! The archive that a kernel unpacks as its initial file system: cpio in the format "newc", as in the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::io::{self, Read, Write};

/// Types of entries, as in the mode of `stat`.
const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Writes an archive, in which everything belongs to root.
pub(crate) struct Archive<W> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    /// Adds a directory; `name` has no leading slash. Its parents must be added first.
    pub(crate) fn directory(&mut self, name: &str, mode: u32) -> io::Result<()> {
        self.head(name, DIRECTORY | mode, 0, (0, 0))
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, name: &str, to: &str) -> io::Result<()> {
        let size = u32::try_from(to.len()).map_err(io::Error::other)?;
        self.head(name, LINK | 0o777, size, (0, 0))?;
        self.contents(to.as_bytes(), size)
    }

    /// Adds a file of `size` bytes.
    pub(crate) fn file(&mut self, name: &str, mode: u32, size: u64, contents: impl Read) -> io::Result<()> {
        let size = u32::try_from(size).map_err(|_| io::Error::other(format!("{name} is larger than 4 GiB")))?;
        self.head(name, FILE | mode & 0o7777, size, (0, 0))?;
        self.contents(contents, size)
    }

    /// Adds a character device with these numbers.
    pub(crate) fn device(&mut self, name: &str, numbers: (u32, u32)) -> io::Result<()> {
        self.head(name, CHARACTER_DEVICE | 0o600, 0, numbers)
    }

    /// Writes the trailer of the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.head("TRAILER!!!", 0, 0, (0, 0))?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn head(&mut self, name: &str, mode: u32, size: u32, (major, minor): (u32, u32)) -> io::Result<()> {
        self.entries += 1;
        let length = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let fields = [
            self.entries, // inode
            mode,
            0, // owner
            0, // group
            1, // links
            0, // time
            size,
            0, // device that it lay on
            0,
            major,
            minor,
            length,
            0, // checksum
        ];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(name.as_bytes())?;
        self.out.write_all(b"\0")?;
        // The header including the name, and also the contents, are padded to a multiple of four.
        self.pad(6 + 13 * 8 + length)
    }

    fn contents(&mut self, contents: impl Read, size: u32) -> io::Result<()> {
        let copied = io::copy(&mut contents.take(size.into()), &mut self.out)?;
        if copied != u64::from(size) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a file became shorter while it was packed",
            ));
        }
        self.pad(size)
    }

    fn pad(&mut self, length: u32) -> io::Result<()> {
        let missing = length.wrapping_neg() as usize % 4;
        self.out.write_all(&[0; 3][..missing])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_bytes_that_the_format_asks_for() {
        let mut archive = Archive::new(Vec::new());
        archive.directory("etc", 0o755).expect("written");
        archive.file("etc/a", 0o644, 5, &b"hello"[..]).expect("written");
        archive.link("b", "etc/a").expect("written");
        archive.device("null", (1, 3)).expect("written");
        let bytes = archive.finish().expect("written");
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).expect("ASCII");
        let head = |inode: u32, mode: u32, size: u32, device: &str, length: u32| {
            format!(
                "070701{inode:08x}{mode:08x}00000000000000000000000100000000{size:08x}0000000000000000{device}{length:08x}00000000"
            )
        };
        let none = "0000000000000000";
        let expected = [
            head(1, 0o040_755, 0, none, 4) + "etc\0\0\0",
            head(2, 0o100_644, 5, none, 6) + "etc/a\0" + "hello\0\0\0",
            head(3, 0o120_777, 5, none, 2) + "b\0" + "etc/a\0\0\0",
            head(4, 0o020_600, 0, "0000000100000003", 5) + "null\0\0",
            head(5, 0, 0, none, 11) + "TRAILER!!!\0\0\0\0",
        ];
        assert_eq!(text, expected.concat());
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let mut archive = Archive::new(Vec::new());
        assert!(archive.file("a", 0o644, 6, &b"hello"[..]).is_err());
    }
}
