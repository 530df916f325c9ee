//! Macros that declare groups of counters and lists of label values in one place.

/// A counter, or an array or a group of counters, whose readings can be subtracted and added. Counters wrap around.
pub trait Count: Copy {
    /// The value in which nothing is counted.
    const ZERO: Self;

    /// The difference from the earlier reading `last`.
    #[must_use]
    fn since(self, last: Self) -> Self;

    /// The sum of both.
    #[must_use]
    fn plus(self, other: Self) -> Self;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Count for $integer {
            const ZERO: Self = 0;

            fn since(self, last: Self) -> Self {
                self.wrapping_sub(last)
            }

            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
        }
    )*};
}

integers!(u32, u64);

impl<T: Count, const N: usize> Count for [T; N] {
    const ZERO: Self = [T::ZERO; N];

    fn since(self, last: Self) -> Self {
        core::array::from_fn(|n| self[n].since(last[n]))
    }

    fn plus(self, other: Self) -> Self {
        core::array::from_fn(|n| self[n].plus(other[n]))
    }
}

/// A group of counters that both sides share. User space reads them as integers, `u64` and `u32`; in the kernel programs, which
/// write them from several CPUs at once, they are cells of the same size. So a group has a type parameter for each size that it
/// uses.
///
/// Zero, difference and sum are derived from the fields; a group with padding does not compile.
macro_rules! counters {
    (
        $(#[$doc:meta])*
        $group:ident<$($size:ident = $integer:ty),+> {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $group<$($size = $integer),+> {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::Count for $group {
            const ZERO: Self = Self { $($field: $crate::Count::ZERO,)* };

            fn since(self, last: Self) -> Self {
                Self { $($field: $crate::Count::since(self.$field, last.$field),)* }
            }

            fn plus(self, other: Self) -> Self {
                Self { $($field: $crate::Count::plus(self.$field, other.$field),)* }
            }
        }

        const _: () = {
            $(type $size = $integer;)+
            assert!(size_of::<$group>() == 0 $(+ size_of::<$type>())*, "there is padding in a group of counters");
        };
    };
}
pub(crate) use counters;

/// The values of a label, in the order of their numbers, which are also the indices of the counters in their group.
macro_rules! labels {
    (
        $(#[$doc:meta])*
        $name:ident: $repr:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[repr($repr)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All values, in the order of their numbers.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),*];

            /// The number of values.
            pub const COUNT: usize = [$(stringify!($variant)),*].len();

            /// The value of the metric label.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }
        }
    };
}
pub(crate) use labels;

#[cfg(test)]
mod tests {
    use super::Count;

    counters! {
        /// A group for this test.
        Group<L = u64, W = u32> {
            /// Some sums for this test.
            sums: [L; 2],
            /// Some histograms for this test.
            buckets: [[W; 3]; 2],
        }
    }

    labels! {
        /// Values for this test.
        Side: u8 {
            /// The first of the two values.
            Upstream = "upstream",
            /// The second of the two values.
            Downstream = "downstream",
        }
    }

    #[test]
    fn groups_are_compared_and_added_field_by_field() {
        let mut last = Group::ZERO;
        last.sums[1] = 5;
        last.buckets[1][2] = u32::MAX;
        let mut now = last;
        now.sums[1] = 7;
        now.buckets[1][2] = 1;
        let new = now.since(last);
        assert_eq!((new.sums, new.buckets), ([0, 2], [[0; 3], [0, 0, 2]]));
        assert_eq!(last.plus(new), now);
    }

    #[test]
    fn labels_have_the_numbers_of_their_order() {
        assert_eq!(Side::ALL.map(|side| side as usize), [0, 1]);
        assert_eq!(Side::ALL.map(Side::label), ["upstream", "downstream"]);
        assert_eq!(Side::COUNT, 2);
    }
}
