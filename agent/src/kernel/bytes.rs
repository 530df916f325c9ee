//! Plain old data as bytes, and back.

/// The bytes of a value.
pub fn bytes_of<T: aya::Pod>(value: &T) -> &[u8] {
    // SAFETY: plain old data has no padding, so all of its bytes are written; they live as long as the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The value at the start of `bytes`, and the rest. `None` when there is not enough.
pub fn split<T: aya::Pod>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = bytes.split_at_checked(size_of::<T>())?;
    // SAFETY: so many bytes are there, every bit pattern is a `T`, and the read does not ask for alignment.
    Some((unsafe { head.as_ptr().cast::<T>().read_unaligned() }, rest))
}
