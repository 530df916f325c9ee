//! TCP states, as numbered in `include/net/tcp_states.h`.

use core::arch::asm;

pub(crate) const ESTABLISHED: i32 = 1;
pub(crate) const SYN_SENT: i32 = 2;
pub(crate) const SYN_RECV: i32 = 3;
pub(crate) const FIN_WAIT1: i32 = 4;
pub(crate) const FIN_WAIT2: i32 = 5;
pub(crate) const TIME_WAIT: i32 = 6;
pub(crate) const CLOSE: i32 = 7;
pub(crate) const CLOSE_WAIT: i32 = 8;
pub(crate) const LAST_ACK: i32 = 9;
pub(crate) const LISTEN: i32 = 10;
pub(crate) const CLOSING: i32 = 11;
pub(crate) const NEW_SYN_RECV: i32 = 12;

/// A set of TCP states, a bit for each.
///
/// Where a program compares a state, the verifier follows each result on its own, to the end. It does not know which state a bit
/// stands for, so a test of a set stays one branch.
#[derive(Clone, Copy)]
pub(crate) struct States(u64);

impl States {
    /// This end has sent its FIN, and waits for the peer's.
    pub(crate) const FIN_WAITS: Self = Self::these(&[FIN_WAIT1, FIN_WAIT2]);
    /// This end has sent its FIN before it received the peer's.
    pub(crate) const SENT_FIN_FIRST: Self = Self::these(&[FIN_WAIT1, FIN_WAIT2, CLOSING]);
    /// Both ends have sent their FIN.
    pub(crate) const BOTH_SENT_FIN: Self = Self::these(&[LAST_ACK, CLOSING, TIME_WAIT]);
    /// This end has sent no FIN.
    pub(crate) const SENT_NO_FIN: Self = Self::these(&[ESTABLISHED, CLOSE_WAIT]);
    /// This end has sent its FIN, after it received the peer's.
    pub(crate) const SENT_FIN_LAST: Self = Self::these(&[LAST_ACK]);
    /// The handshake is not complete.
    pub(crate) const HANDSHAKES: Self = Self::these(&[SYN_SENT, SYN_RECV]);
    /// No connection of its own.
    pub(crate) const NO_CONNECTION: Self = Self::these(&[CLOSE, SYN_RECV, LISTEN]);

    const fn these(states: &[i32]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < states.len() {
            set |= 1 << states[at];
            at += 1;
        }
        Self(set)
    }

    /// Only this one.
    #[inline(always)]
    pub(crate) fn only(state: i32) -> Self {
        let (mut set, state) = (1_u64, (state & 31) as u64);
        // As the instruction itself: the compiler must not know it either, as it would compare the state.
        // SAFETY: a shift of a register.
        unsafe { asm!("{0} <<= {1}", inout(reg) set, in(reg) state, options(pure, nomem, nostack)) };
        Self(set)
    }

    /// Whether one of these is among `others`.
    #[inline(always)]
    pub(crate) const fn are_in(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// Whether a connection in this state has completed its handshake.
#[inline(always)]
pub(crate) const fn is_established(state: i32) -> bool {
    !matches!(state, SYN_SENT | SYN_RECV)
}
