//! Iterator programs that run at each tick. aya attaches an iterator without saying which map it is about, and for one
//! run, so the two calls that need more are made here.

use aya::programs::Iter;
use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

// include/uapi/linux/bpf.h
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_ITER_CREATE: libc::c_int = 33;
const BPF_TRACE_ITER: u32 = 28;

/// How much is read at once; the kernel's own buffer is half of it.
const CHUNK: usize = 64 * 1024;

/// `union bpf_iter_link_info`, for a map.
#[repr(C)]
struct MapInfo {
    map_fd: u32,
    reserved: [u32; 3],
}

/// `union bpf_attr` as BPF_LINK_CREATE and BPF_ITER_CREATE read it.
#[repr(C, align(8))]
struct Attributes {
    program_or_link: u32,
    flags_or_target: u32,
    attach_type: u32,
    flags: u32,
    info: u64,
    info_length: u32,
    reserved: [u32; 9],
}

/// An attached iterator program; each [`KernelIterator::run`] runs it over all objects.
pub struct KernelIterator {
    link: OwnedFd,
}

impl KernelIterator {
    /// Attaches a loaded program; one that is about a map's elements, to `map`.
    ///
    /// # Errors
    /// What the kernel says, for instance that the map's type has no iterator.
    pub fn attach(program: &Iter, map: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let info = map.map(|map| MapInfo {
            map_fd: map.as_raw_fd().cast_unsigned(),
            reserved: [0; 3],
        });
        let program = program.fd().map_err(io::Error::other)?;
        let attributes = Attributes {
            program_or_link: program.as_fd().as_raw_fd().cast_unsigned(),
            flags_or_target: 0,
            attach_type: BPF_TRACE_ITER,
            flags: 0,
            info: info.as_ref().map_or(0, |info| std::ptr::from_ref(info).addr() as u64),
            info_length: info.as_ref().map_or(0, |_| size_of::<MapInfo>() as u32),
            reserved: [0; 9],
        };
        Ok(Self {
            link: bpf(BPF_LINK_CREATE, &attributes)?,
        })
    }

    /// Runs the program over all objects, and hands what it wrote to `each`, as records of plain old data.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn run<T: aya::Pod>(&self, mut each: impl FnMut(T)) -> io::Result<()> {
        let attributes = Attributes {
            program_or_link: self.link.as_raw_fd().cast_unsigned(),
            flags_or_target: 0,
            attach_type: 0,
            flags: 0,
            info: 0,
            info_length: 0,
            reserved: [0; 9],
        };
        let mut file = File::from(bpf(BPF_ITER_CREATE, &attributes)?);
        let mut chunk = vec![0; CHUNK];
        let mut filled = 0;
        loop {
            match file.read(&mut chunk[filled..]) {
                Ok(0) => return Ok(()),
                Ok(n) => filled += n,
                // The kernel stops for breath after a million objects without output.
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => continue,
                Err(error) => return Err(error),
            }
            let mut rest = &chunk[..filled];
            while let Some((record, tail)) = split(rest) {
                each(record);
                rest = tail;
            }
            // A record that is not complete yet goes on at the start.
            let left = rest.len();
            chunk.copy_within(filled - left..filled, 0);
            filled = left;
        }
    }
}

fn bpf(command: libc::c_int, attributes: &Attributes) -> io::Result<OwnedFd> {
    // SAFETY: bpf(2) reads the given number of bytes; pointers in it are to live objects of the caller.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<Attributes>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The plain old data at the start of `bytes`, and the rest. `None` when there is not enough.
pub fn split<T: aya::Pod>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = bytes.split_at_checked(size_of::<T>())?;
    // SAFETY: so many bytes are there, every bit pattern is a `T`, and the read does not ask for alignment.
    Some((unsafe { head.as_ptr().cast::<T>().read_unaligned() }, rest))
}
