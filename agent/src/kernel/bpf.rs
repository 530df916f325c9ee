//! Calls of bpf(2) that aya does not make: reading a map in batches, iterators over the files of one process, and a part of a
//! program's description.

use aya_obj::generated::bpf_prog_info;
use std::{
    io,
    mem::{offset_of, zeroed},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

// include/uapi/linux/bpf.h
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_ITER_CREATE: libc::c_int = 33;
const BPF_TRACE_ITER: u32 = 28;

/// Part of `union bpf_attr` for one command: plain integers, of which the kernel takes what is not there for zero.
trait Attributes {}

fn bpf<T: Attributes>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: bpf(2) reads and writes the given number of bytes of the attributes; the pointers in them are to live objects of the
    // caller's, of the sizes that stand beside them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(result).map_err(io::Error::other)
}

fn descriptor(fd: libc::c_int) -> OwnedFd {
    // SAFETY: bpf(2) has just returned it: a new descriptor that nobody else knows.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[repr(C)]
struct InfoAttributes {
    fd: u32,
    info_length: u32,
    info: u64,
}

impl Attributes for InfoAttributes {}

/// `bpf_prog_info.recursion_misses` (Linux 5.12): how often the kernel left out a run of a program, as it was active on the
/// processor already.
///
/// # Errors
/// The system call's error.
pub fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: integers, for which zero is a value; no pointer in it asks the kernel for more.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    let mut attributes = InfoAttributes {
        fd: program.as_raw_fd().cast_unsigned(),
        info_length: size_of::<bpf_prog_info>() as u32,
        info: (&raw mut info).addr() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    if (attributes.info_length as usize) < offset_of!(bpf_prog_info, recursion_misses) + size_of::<u64>() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(info.recursion_misses)
}

#[repr(C)]
struct LinkAttributes {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: u64,
    info_length: u32,
    reserved: [u32; 9],
}

impl Attributes for LinkAttributes {}

/// `union bpf_iter_link_info`, for a task.
#[repr(C)]
struct TaskInfo {
    thread: u32,
    process: u32,
    process_fd: u32,
    reserved: u32,
}

/// Attaches an iterator program over open files: of all processes, or of one.
///
/// # Errors
/// The system call's error.
pub fn attach_iterator(program: BorrowedFd<'_>, process: Option<u32>) -> io::Result<OwnedFd> {
    attach_to_task(program, process.map(|process| (0, process)))
}

/// Whether the kernel knows iterators over the files of one process (Linux 6.1). Earlier ones do not look at the description of a
/// task, and would walk over the files of all; one that does looks at it refuses a thread and a process at the same time.
pub fn iterates_by_process(program: BorrowedFd<'_>) -> bool {
    attach_to_task(program, Some((1, 1))).is_err()
}

fn attach_to_task(program: BorrowedFd<'_>, task: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    let info = task.map(|(thread, process)| TaskInfo {
        thread,
        process,
        process_fd: 0,
        reserved: 0,
    });
    let mut attributes = LinkAttributes {
        program: program.as_raw_fd().cast_unsigned(),
        target: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        info: info.as_ref().map_or(0, |info| std::ptr::from_ref(info).addr() as u64),
        info_length: info.as_ref().map_or(0, |_| size_of::<TaskInfo>() as u32),
        reserved: [0; 9],
    };
    bpf(BPF_LINK_CREATE, &mut attributes).map(descriptor)
}

#[repr(C)]
struct IteratorAttributes {
    link: u32,
    flags: u32,
}

impl Attributes for IteratorAttributes {}

/// A file that runs the program of an iterator's link over all its objects while it is read.
///
/// # Errors
/// The system call's error.
pub fn open_iterator(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = IteratorAttributes {
        link: link.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    bpf(BPF_ITER_CREATE, &mut attributes).map(descriptor)
}

#[repr(C)]
struct BatchAttributes {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

impl Attributes for BatchAttributes {}

/// Entries of a map that are read by one system call.
const BATCH: usize = 1024;

/// Reads hash maps of one kind, many entries at a time (`BPF_MAP_LOOKUP_BATCH`, Linux 5.6).
///
/// An entry that is in the map all the while is read exactly once: the kernel goes from bucket to bucket.
pub struct BatchReader<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K: aya::Pod + Default, V: aya::Pod> BatchReader<K, V> {
    /// Without memory yet. `value` is any value.
    pub fn new(value: V) -> Self {
        Self {
            keys: vec![K::default(); BATCH],
            values: vec![value; BATCH],
        }
    }

    /// Hands every entry of the map to `each`.
    ///
    /// # Errors
    /// The system call's error. What was read before it was handed over.
    pub fn read(&mut self, map: BorrowedFd<'_>, mut each: impl FnMut(&K, &V)) -> io::Result<()> {
        // The number of a bucket, as far as anybody but the kernel is concerned.
        let (mut place, mut next): (u64, u64) = (0, 0);
        let mut first = true;
        loop {
            let mut attributes = BatchAttributes {
                from: if first { 0 } else { (&raw const place).addr() as u64 },
                to: (&raw mut next).addr() as u64,
                keys: self.keys.as_mut_ptr().addr() as u64,
                values: self.values.as_mut_ptr().addr() as u64,
                count: u32::try_from(self.keys.len()).map_err(io::Error::other)?,
                map: map.as_raw_fd().cast_unsigned(),
                element_flags: 0,
                flags: 0,
            };
            let outcome = bpf(BPF_MAP_LOOKUP_BATCH, &mut attributes);
            let over = match outcome.map_err(|error| (error.raw_os_error(), error)) {
                Ok(_) => false,
                Err((Some(libc::ENOENT), _)) => true,
                // One bucket has more entries than there is room for: an unlucky hash, or a small map.
                Err((Some(libc::ENOSPC), _)) => {
                    let larger = self.keys.len() * 2;
                    self.keys.resize(larger, K::default());
                    let value = self.values[0];
                    self.values.resize(larger, value);
                    continue;
                }
                Err((Some(libc::EINTR | libc::EAGAIN), _)) => continue,
                Err((_, error)) => return Err(error),
            };
            let count = attributes.count as usize;
            for (key, value) in self.keys.iter().zip(&self.values).take(count) {
                each(key, value);
            }
            if over {
                return Ok(());
            }
            (place, first) = (next, false);
        }
    }
}
