//! The running kernel's types, from its BTF: the offsets of structure fields.
//!
//! The format: <https://docs.kernel.org/bpf/btf.html>. Implemented here because the user-space crates for it are under the LGPL or
//! unmaintained, and because only a hundredth of it is needed.

use std::{collections::HashMap, fs, path::Path};

/// Where Linux exposes its own BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const RESTRICT: u32 = 11;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// An error in reading the kernel's BTF.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read; most often the kernel was built without it.
    #[error(
        "cannot read {path}: {error}; Narrows needs a kernel with CONFIG_DEBUG_INFO_BTF=y (all current distributions) \
         and /sys mounted"
    )]
    Read {
        /// The path that was read.
        path: String,
        /// The system call's error.
        error: std::io::Error,
    },
    /// The file is not valid BTF, or of an unknown version.
    #[error("{0} is not BTF as Narrows knows it: {1}")]
    Format(String, &'static str),
}

/// Why the offset of a field is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// No structure of this name has the field.
    #[error("this kernel does not have it")]
    Absent,
    /// Several structures have that name, and the field's offset or size differs between them.
    #[error("this kernel has {number} structures called {structure}, which do not agree on {path}")]
    Ambiguous {
        /// The common name of the structures.
        structure: String,
        /// The path of the field within them.
        path: String,
        /// The number of structures.
        number: usize,
    },
}

/// Offset of a field in its structure, and its size, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u32,
    size: u32,
}

/// The types of the running kernel.
pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Byte offset of each type, by id; 0 is `void`.
    types: Vec<usize>,
    /// Structures by name. Several have the same name when files of the kernel were compiled in different ways, or when they are
    /// unrelated.
    structures: HashMap<String, Vec<u32>>,
}

impl Btf {
    /// Reads the BTF at `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is not valid BTF.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let name = path.display().to_string();
        let data = fs::read(path).map_err(|error| BtfError::Read {
            path: name.clone(),
            error,
        })?;
        Self::parse(data).map_err(|why| BtfError::Format(name, why))
    }

    fn parse(data: Vec<u8>) -> Result<Self, &'static str> {
        let mut btf = Self {
            data,
            strings: 0,
            types: vec![0],
            structures: HashMap::new(),
        };
        if btf.word(0).ok_or("it is too short")? & 0xffff != 0xeb9f {
            return Err("its magic number is missing");
        }
        let header = |n: usize| btf.word(n).map(|w| w as usize).ok_or("its header is cut off");
        let (length, start, size, strings) = (header(4)?, header(8)?, header(12)?, header(16)?);
        btf.strings = length + strings;
        let (mut at, end) = (length + start, length + start + size);
        while at < end {
            let id = u32::try_from(btf.types.len()).map_err(|_| "it has too many types")?;
            let info = btf.word(at + 4).ok_or("a type is cut off")?;
            let (kind, n) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
            if kind == STRUCT {
                let name = btf.name_at(at);
                btf.structures.entry(name).or_default().push(id);
            }
            btf.types.push(at);
            at += 12
                + match kind {
                    INT | VAR | DECL_TAG => 4,
                    ARRAY => 12,
                    STRUCT | UNION | DATASEC | ENUM64 => n * 12,
                    ENUM | FUNC_PROTO => n * 8,
                    _ if kind <= ENUM64 => 0,
                    _ => return Err("it has a kind of type that is unknown here"),
                };
        }
        Ok(btf)
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.data.get(at..at + 4)?.try_into().ok()?))
    }

    fn string(&self, offset: u32) -> &str {
        let bytes = self.data.get(self.strings + offset as usize..).unwrap_or_default();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(0);
        std::str::from_utf8(&bytes[..end]).unwrap_or_default()
    }

    fn name_at(&self, at: usize) -> String {
        self.word(at)
            .map(|name| self.string(name).to_owned())
            .unwrap_or_default()
    }

    fn kind(&self, id: u32) -> Option<(u32, usize)> {
        let at = *self.types.get(id as usize).filter(|at| **at != 0)?;
        Some(((self.word(at + 4)? >> 24) & 0x1f, at))
    }

    /// Resolves typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..32 {
            match self.kind(id)? {
                (TYPEDEF..=RESTRICT | TYPE_TAG, at) => id = self.word(at + 8)?,
                _ => return Some(id),
            }
        }
        None
    }

    /// The size of a type in bytes; 0 for types without one, and for types that are not needed here.
    fn size(&self, id: u32) -> Option<u32> {
        let (kind, at) = self.kind(self.resolve(id)?)?;
        match kind {
            PTR => Some(size_of::<usize>() as u32),
            ARRAY => self.size(self.word(at + 12)?)?.checked_mul(self.word(at + 20)?),
            INT | STRUCT | UNION | ENUM | ENUM64 => self.word(at + 8),
            _ => Some(0),
        }
    }

    fn member(&self, id: u32, path: &[&str], bits: u32) -> Option<Place> {
        let (_, at) = self.kind(id)?;
        let info = self.word(at + 4)?;
        let bitfields = info >> 31 == 1;
        for n in 0..(info & 0xffff) as usize {
            let member = at + 12 + n * 12;
            let name = self.string(self.word(member)?);
            let offset = self.word(member + 8)?;
            let here = bits + if bitfields { offset & 0x00ff_ffff } else { offset };
            if name == path[0] {
                let kind = self.word(member + 4)?;
                if path.len() > 1 {
                    return self.member(self.resolve(kind)?, &path[1..], here);
                }
                let size = self.size(kind)?;
                return here.is_multiple_of(8).then_some(Place { offset: here / 8, size });
            }
            if name.is_empty()
                && let Some(inner) = self.resolve(self.word(member + 4)?)
                && matches!(self.kind(inner), Some((STRUCT | UNION, _)))
                && let Some(found) = self.member(inner, path, here)
            {
                return Some(found);
            }
        }
        None
    }

    /// The names of an enumeration's values; empty when the enumeration does not exist.
    pub fn enumerators(&self, enumeration: &str) -> HashMap<u32, String> {
        let Some(at) = self.find(ENUM, enumeration) else {
            return HashMap::new();
        };
        let values = (0..self.number(at)).filter_map(|n| {
            let entry = at + 12 + n * 8;
            Some((self.word(entry + 4)?, self.name_at(entry)))
        });
        values.collect()
    }

    /// The number of arguments that a tracepoint passes to programs; `None` when it does not exist.
    pub fn arguments(&self, tracepoint: &str) -> Option<usize> {
        // typedef void (*btf_trace_<name>)(void *__data, …)
        let typedef = self.find(TYPEDEF, &format!("btf_trace_{tracepoint}"))?;
        let (_, pointer) = self.kind(self.resolve(self.word(typedef + 8)?)?)?;
        let (kind, function) = self.kind(self.word(pointer + 8)?)?;
        (kind == FUNC_PROTO).then(|| self.number(function).saturating_sub(1))
    }

    /// Finds a type with members by name; types without members are only declarations.
    fn find(&self, kind: u32, name: &str) -> Option<usize> {
        let mut all = self.types.iter().copied().filter(|at| *at != 0);
        all.find(|at| {
            let is_kind = self.word(at + 4).is_some_and(|info| (info >> 24) & 0x1f == kind);
            is_kind
                && (kind != ENUM || self.number(*at) > 0)
                && self.word(*at).is_some_and(|offset| self.string(offset) == name)
        })
    }

    /// The number of members, values or parameters of a type.
    fn number(&self, at: usize) -> usize {
        self.word(at + 4).map_or(0, |info| (info & 0xffff) as usize)
    }

    /// The byte offset of a field, including fields of anonymous structures and unions; `path` has dots between nested fields.
    /// Where several structures have that name, the field must have the same offset in all of them.
    ///
    /// # Errors
    /// Why the offset is not known.
    pub fn offset(&self, structure: &str, path: &str) -> Result<u32, NoPlace> {
        let ids = self.structures.get(structure).ok_or(NoPlace::Absent)?;
        let names: Vec<_> = path.split('.').collect();
        let mut places = ids.iter().map(|id| self.member(*id, &names, 0));
        let first = places.next().flatten();
        if places.any(|other| other != first) {
            return Err(NoPlace::Ambiguous {
                structure: structure.to_owned(),
                path: path.to_owned(),
                number: ids.len(),
            });
        }
        first.map(|place| place.offset).ok_or(NoPlace::Absent)
    }
}

#[cfg(test)]
mod tests;
