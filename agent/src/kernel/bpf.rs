//! bpf(2) commands that aya lacks, or offers only for objects it has loaded itself: reading a map in batches, iterators over the
//! files of one process, programs and links that outlive the process, and part of a program's info.

use aya_obj::generated::bpf_prog_info;
use std::{
    ffi::CString,
    io,
    mem::{offset_of, zeroed},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

// include/uapi/linux/bpf.h
const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_ITER_CREATE: libc::c_int = 33;
const BPF_TRACE_ITER: u32 = 28;
/// `BPF_CGROUP_INET4_GETPEERNAME`: where [`attach_to_cgroup`] attaches.
pub const PEER_NAME_4: u32 = 29;
/// `BPF_CGROUP_INET6_GETPEERNAME`.
pub const PEER_NAME_6: u32 = 30;
const BPF_MAP_TYPE_ARRAY: u32 = 2;

/// Part of `union bpf_attr` for one command: plain integers; the kernel takes missing ones as zero.
trait Attributes {}

fn bpf<T: Attributes>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: bpf(2) reads and writes the given number of bytes of the attributes; the pointers in them point to live objects of
    // the caller, of the sizes given next to them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(result).map_err(io::Error::other)
}

fn descriptor(fd: libc::c_int) -> OwnedFd {
    // SAFETY: bpf(2) has just returned it: a new descriptor that is owned by nothing else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[repr(C)]
struct PathAttributes {
    path: u64,
    fd: u32,
    flags: u32,
}

impl Attributes for PathAttributes {}

fn at_path(command: libc::c_int, path: &Path, fd: u32) -> io::Result<libc::c_int> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = PathAttributes {
        path: path.as_ptr().addr() as u64,
        fd,
        flags: 0,
    };
    bpf(command, &mut attributes)
}

/// Pins a map, program or link in the BPF file system, which keeps it alive until the name is removed.
///
/// # Errors
/// The system call's error.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    at_path(BPF_OBJ_PIN, path, object.as_raw_fd().cast_unsigned()).map(|_| ())
}

/// Opens a pinned object of the BPF file system.
///
/// # Errors
/// The system call's error.
pub fn pinned(path: &Path) -> io::Result<OwnedFd> {
    at_path(BPF_OBJ_GET, path, 0).map(descriptor)
}

#[repr(C)]
struct TracepointAttributes {
    name: u64,
    program: u32,
    reserved: u32,
}

impl Attributes for TracepointAttributes {}

/// Attaches a `tp_btf` program to the tracepoint that it was loaded for, after the programs attached there already. Closing the
/// link detaches it.
///
/// # Errors
/// The system call's error.
pub fn attach_tracepoint(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = TracepointAttributes {
        name: 0,
        program: program.as_raw_fd().cast_unsigned(),
        reserved: 0,
    };
    bpf(BPF_RAW_TRACEPOINT_OPEN, &mut attributes).map(descriptor)
}

#[repr(C)]
struct RunAttributes {
    program: u32,
    result: u32,
    data_sizes: [u32; 2],
    data: [u64; 2],
    repeat: u32,
    duration: u32,
    context_sizes: [u32; 2],
    context: [u64; 2],
    flags: u32,
    processor: u32,
    batch: u32,
    reserved: u32,
}

impl Attributes for RunAttributes {}

/// Runs a raw tracepoint program once, on this CPU, and returns its result (Linux 5.10).
///
/// # Errors
/// The system call's error.
pub fn run(program: BorrowedFd<'_>, arguments: &[u64; 12]) -> io::Result<u32> {
    let mut attributes = RunAttributes {
        program: program.as_raw_fd().cast_unsigned(),
        result: 0,
        data_sizes: [0; 2],
        data: [0; 2],
        repeat: 0,
        duration: 0,
        context_sizes: [size_of_val(arguments) as u32, 0],
        context: [arguments.as_ptr().addr() as u64, 0],
        flags: 0,
        processor: 0,
        batch: 0,
        reserved: 0,
    };
    bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
    Ok(attributes.result)
}

/// Bytes of an element of a [`Blob`].
const CHUNK: usize = 32 * 1024;

/// The header of a [`Blob`]: its length in bytes.
const LENGTH: usize = size_of::<u64>();

#[repr(C)]
struct MapAttributes {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    inner: u32,
    node: u32,
    name: [u8; 16],
}

impl Attributes for MapAttributes {}

#[repr(C)]
struct ElementAttributes {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Attributes for ElementAttributes {}

/// Bytes in the kernel's memory: an array map, which can be pinned in the BPF file system next to the maps that the bytes describe.
pub struct Blob(OwnedFd);

impl Blob {
    /// Copies bytes to the kernel.
    ///
    /// # Errors
    /// The system call's error, such as ENOMEM.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut attributes = MapAttributes {
            kind: BPF_MAP_TYPE_ARRAY,
            key_size: size_of::<u32>() as u32,
            value_size: CHUNK as u32,
            entries: u32::try_from((LENGTH + bytes.len()).div_ceil(CHUNK)).map_err(io::Error::other)?,
            flags: 0,
            inner: 0,
            node: 0,
            name: *b"narrows_state\0\0\0",
        };
        let blob = Self(bpf(BPF_MAP_CREATE, &mut attributes).map(descriptor)?);
        let mut rest = bytes;
        let mut chunk = vec![0; CHUNK];
        chunk[..LENGTH].copy_from_slice(&(bytes.len() as u64).to_ne_bytes());
        let mut from = LENGTH;
        for n in 0..attributes.entries {
            let (now, later) = rest.split_at(rest.len().min(CHUNK - from));
            chunk[from..from + now.len()].copy_from_slice(now);
            blob.element(BPF_MAP_UPDATE_ELEM, n, &mut chunk)?;
            (rest, from) = (later, 0);
        }
        Ok(blob)
    }

    /// Reads the blob that is pinned at this path.
    ///
    /// # Errors
    /// The system call's error, or that the object is not a blob.
    pub fn read(path: &Path) -> io::Result<Vec<u8>> {
        let blob = Self(pinned(path)?);
        let info = aya::maps::MapInfo::from_pin(path).map_err(io::Error::other)?;
        if info.value_size() as usize != CHUNK {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; CHUNK];
        blob.element(BPF_MAP_LOOKUP_ELEM, 0, &mut bytes)?;
        let mut length = [0; LENGTH];
        length.copy_from_slice(&bytes[..LENGTH]);
        let length = usize::try_from(u64::from_ne_bytes(length)).map_err(io::Error::other)?;
        let chunks = length.saturating_add(LENGTH).div_ceil(CHUNK);
        if chunks != info.max_entries() as usize {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.resize(chunks * CHUNK, 0);
        for (n, chunk) in bytes.chunks_mut(CHUNK).enumerate().skip(1) {
            blob.element(BPF_MAP_LOOKUP_ELEM, n as u32, chunk)?;
        }
        bytes.truncate(LENGTH + length);
        Ok(bytes.split_off(LENGTH))
    }

    /// Reads or writes an element; `chunk` must have the size of an element.
    fn element(&self, command: libc::c_int, n: u32, chunk: &mut [u8]) -> io::Result<()> {
        let mut attributes = ElementAttributes {
            map: self.0.as_raw_fd().cast_unsigned(),
            reserved: 0,
            key: (&raw const n).addr() as u64,
            value: chunk.as_mut_ptr().addr() as u64,
            flags: 0,
        };
        bpf(command, &mut attributes).map(|_| ())
    }
}

impl AsFd for Blob {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[repr(C)]
struct InfoAttributes {
    fd: u32,
    info_length: u32,
    info: u64,
}

impl Attributes for InfoAttributes {}

/// Run statistics of a program, as reported by the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// Number of runs, while the kernel counts them (sysctl `kernel.bpf_stats_enabled`).
    pub count: u64,
    /// Total run time in nanoseconds, while the kernel measures it.
    pub nanoseconds: u64,
    /// How often the kernel skipped a run, as the program was already active on the CPU (Linux 5.12).
    pub recursion_misses: u64,
}

/// Reads the run statistics of a program.
///
/// # Errors
/// The system call's error.
pub fn runs(program: BorrowedFd<'_>) -> io::Result<Runs> {
    // SAFETY: integers, for which zero is a valid value; no pointer in it makes the kernel write more.
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
    Ok(Runs {
        count: info.run_cnt,
        nanoseconds: info.run_time_ns,
        recursion_misses: info.recursion_misses,
    })
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

/// Whether the kernel supports iterators over the files of one process (Linux 6.1). Earlier kernels ignore the task in the link's
/// info, and would walk over the files of all processes; a kernel that reads it refuses a thread and a process at the same time.
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
    link(program, 0, BPF_TRACE_ITER, info.as_ref())
}

fn link(program: BorrowedFd<'_>, target: u32, hook: u32, info: Option<&TaskInfo>) -> io::Result<OwnedFd> {
    let mut attributes = LinkAttributes {
        program: program.as_raw_fd().cast_unsigned(),
        target,
        attach_type: hook,
        flags: 0,
        info: info.map_or(0, |info| std::ptr::from_ref(info).addr() as u64),
        info_length: info.map_or(0, |_| size_of::<TaskInfo>() as u32),
        reserved: [0; 9],
    };
    bpf(BPF_LINK_CREATE, &mut attributes).map(descriptor)
}

/// Attaches a program to a cgroup and all below it, beside those of others. Closing the link detaches it.
///
/// # Errors
/// The system call's error.
pub fn attach_to_cgroup(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, hook: u32) -> io::Result<OwnedFd> {
    link(program, cgroup.as_raw_fd().cast_unsigned(), hook, None)
}

#[repr(C)]
struct IteratorAttributes {
    link: u32,
    flags: u32,
}

impl Attributes for IteratorAttributes {}

/// Opens a file that runs the iterator program of a link over all its objects while it is read.
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

/// Entries of a map read by one system call.
const BATCH: usize = 1024;

/// Reads hash maps of one type, many entries at a time (`BPF_MAP_LOOKUP_BATCH`, Linux 5.6).
///
/// An entry that stays in the map during the reading is read exactly once: the kernel goes from bucket to bucket.
pub struct BatchReader<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K: aya::Pod + Default, V: aya::Pod> BatchReader<K, V> {
    /// Allocates no memory yet. `value` is an arbitrary value.
    pub fn new(value: V) -> Self {
        Self {
            keys: vec![K::default(); BATCH],
            values: vec![value; BATCH],
        }
    }

    /// Passes every entry of the map to `each`.
    ///
    /// # Errors
    /// The system call's error. What was read before it has been passed on.
    pub fn read(&mut self, map: BorrowedFd<'_>, mut each: impl FnMut(&K, &V)) -> io::Result<()> {
        // The number of a bucket; opaque to all but the kernel.
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
                // One bucket has more entries than the buffer: an unlucky hash, or a small map.
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
