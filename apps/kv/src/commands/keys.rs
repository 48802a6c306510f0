//! Keys, and how long they live.

use super::{Call, Error};
use crate::{
    glob::{self, PATTERN_LEN_MAX},
    store::TimeLeft,
};

impl Call<'_> {
    /// The time that an argument says, counted from now; now if it is negative.
    pub(super) fn deadline(
        &self,
        index: usize,
        unit_ms: i64,
        command: &'static str,
    ) -> Result<u64, Error> {
        let wrong = Error::InvalidExpire(command);
        let millis = self.number(index)?.checked_mul(unit_ms).ok_or(wrong.clone())?;
        // As in Redis, the sum must be a number, too.
        let now_ms = i64::try_from(self.now_ms()).unwrap_or(i64::MAX);
        let deadline = now_ms.checked_add(millis.max(0)).ok_or(wrong)?;
        Ok(deadline as u64)
    }
}

pub(super) fn del(call: &mut Call<'_>) -> Result<(), Error> {
    let now_ms = call.now_ms();
    let removed = call.args.from(1).filter(|key| call.store.remove(key, now_ms)).count();
    call.replies.integer(removed as i64);
    Ok(())
}

/// A key that is named twice is counted twice.
pub(super) fn exists(call: &mut Call<'_>) -> Result<(), Error> {
    let now_ms = call.now_ms();
    let found = call.args.from(1).filter(|key| call.store.get(key, now_ms).is_some()).count();
    call.replies.integer(found as i64);
    Ok(())
}

pub(super) fn expire(call: &mut Call<'_>) -> Result<(), Error> {
    let deadline = call.deadline(2, 1000, "expire")?;
    set_deadline(call, Some(deadline))
}

pub(super) fn pexpire(call: &mut Call<'_>) -> Result<(), Error> {
    let deadline = call.deadline(2, 1, "pexpire")?;
    set_deadline(call, Some(deadline))
}

/// Says whether there was a lifetime to take away.
pub(super) fn persist(call: &mut Call<'_>) -> Result<(), Error> {
    match call.store.time_left(call.arg(1), call.now_ms()) {
        TimeLeft::Millis(_) => set_deadline(call, None),
        TimeLeft::NoKey | TimeLeft::Endless => {
            call.replies.integer(0);
            Ok(())
        }
    }
}

fn set_deadline(call: &mut Call<'_>, deadline: Option<u64>) -> Result<(), Error> {
    let is_there = call.store.expire(call.arg(1), deadline, call.now_ms());
    call.replies.integer(i64::from(is_there));
    Ok(())
}

/// In seconds, rounded to the nearest.
pub(super) fn ttl(call: &mut Call<'_>) -> Result<(), Error> {
    time_left(call, |millis| (millis + 500) / 1000)
}

pub(super) fn pttl(call: &mut Call<'_>) -> Result<(), Error> {
    time_left(call, |millis| millis)
}

fn time_left(call: &mut Call<'_>, in_unit: fn(u64) -> u64) -> Result<(), Error> {
    call.replies.integer(match call.store.time_left(call.arg(1), call.now_ms()) {
        TimeLeft::NoKey => -2,
        TimeLeft::Endless => -1,
        TimeLeft::Millis(millis) => in_unit(millis) as i64,
    });
    Ok(())
}

pub(super) fn dbsize(call: &mut Call<'_>) -> Result<(), Error> {
    let (len, _) = call.store.len(call.now_ms());
    call.replies.integer(len as i64);
    Ok(())
}

/// `FLUSHDB [ASYNC | SYNC]`: at once in any case.
pub(super) fn flush(call: &mut Call<'_>) -> Result<(), Error> {
    let is_known = call.is(1, "async") || call.is(1, "sync");
    if call.args.len() > 2 || call.args.len() == 2 && !is_known {
        return Err(Error::Syntax);
    }
    call.store.clear();
    call.replies.ok();
    Ok(())
}

pub(super) fn keys(call: &mut Call<'_>) -> Result<(), Error> {
    let pattern = call.arg(1);
    if pattern.len() > PATTERN_LEN_MAX {
        return Err(Error::LongPattern);
    }
    // Twice, because a list of them would be long, and in one piece.
    let is_wanted = |key: &&[u8]| glob::matches(pattern, key);
    let count = call.store.keys(call.present.now_ms).filter(is_wanted).count();
    call.replies.array(count);
    for key in call.store.keys(call.present.now_ms).filter(is_wanted) {
        call.replies.bulk(key);
    }
    Ok(())
}
