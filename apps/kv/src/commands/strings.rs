//! Values: SET, GET, and what changes them.

use super::{Call, Error};
use crate::store::Lifetime;

pub(super) fn get(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, now_ms) = (call.arg(1), call.now_ms());
    call.replies.bulk_or_nil(call.store.get(key, now_ms));
    Ok(())
}

/// `SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]`
pub(super) fn set(call: &mut Call<'_>) -> Result<(), Error> {
    let options = SetOptions::parse(call)?;
    let (key, value, now_ms) = (call.arg(1), call.arg(2), call.now_ms());
    let mut is_set = true;
    // Most do not want to know.
    if options.only_if.is_some() || options.wants_old {
        let old = call.store.get(key, now_ms);
        is_set = options.only_if.is_none_or(|exists| exists == old.is_some());
        if options.wants_old {
            call.replies.bulk_or_nil(old);
        }
    }
    if is_set {
        call.store.set(key, value, options.lifetime, now_ms)?;
    }
    match (options.wants_old, is_set) {
        (true, _) => {}
        (false, true) => call.replies.ok(),
        (false, false) => call.replies.bulk_or_nil(None),
    }
    Ok(())
}

struct SetOptions {
    /// Whether the key must exist (XX) or must not (NX).
    only_if: Option<bool>,
    wants_old: bool,
    lifetime: Lifetime,
}

impl SetOptions {
    fn parse(call: &Call<'_>) -> Result<Self, Error> {
        let mut options =
            SetOptions { only_if: None, wants_old: false, lifetime: Lifetime::Endless };
        let mut at = 3;
        while at < call.args.len() {
            let exists = call.is(at, "xx");
            if (exists || call.is(at, "nx")) && options.only_if.is_none_or(|it| it == exists) {
                options.only_if = Some(exists);
            } else if call.is(at, "get") {
                options.wants_old = true;
            } else {
                // There is one lifetime.
                if options.lifetime != Lifetime::Endless {
                    return Err(Error::Syntax);
                }
                at += options.lifetime(call, at)?;
            }
            at += 1;
        }
        Ok(options)
    }

    /// Returns how many arguments belong to the option at `at`.
    fn lifetime(&mut self, call: &Call<'_>, at: usize) -> Result<usize, Error> {
        if call.is(at, "keepttl") {
            self.lifetime = Lifetime::Kept;
            return Ok(0);
        }
        let unit_ms = match () {
            () if at + 1 == call.args.len() => return Err(Error::Syntax),
            () if call.is(at, "ex") => 1000,
            () if call.is(at, "px") => 1,
            () => return Err(Error::Syntax),
        };
        let deadline = call.deadline(at + 1, unit_ms, "set")?;
        // A lifetime that has ended is no lifetime here.
        if deadline <= call.now_ms() {
            return Err(Error::InvalidExpire("set"));
        }
        self.lifetime = Lifetime::Until(deadline);
        Ok(1)
    }
}

pub(super) fn mget(call: &mut Call<'_>) -> Result<(), Error> {
    let now_ms = call.now_ms();
    call.replies.array(call.args.len() - 1);
    for key in call.args.from(1) {
        call.replies.bulk_or_nil(call.store.get(key, now_ms));
    }
    Ok(())
}

/// Sets all, or none if there is not memory for all.
pub(super) fn mset(call: &mut Call<'_>) -> Result<(), Error> {
    let (args, now_ms) = (call.args, call.now_ms());
    if args.len().is_multiple_of(2) {
        return Err(Error::WrongNumber("mset"));
    }
    let pairs = || args.from(1).step_by(2).zip(args.from(2).step_by(2));
    if !call.store.has_room(pairs()) {
        return Err(Error::OutOfMemory);
    }
    for (key, value) in pairs() {
        call.store.set(key, value, Lifetime::Endless, now_ms)?;
    }
    call.replies.ok();
    Ok(())
}

pub(super) fn append(call: &mut Call<'_>) -> Result<(), Error> {
    let len = call.store.append(call.arg(1), call.arg(2), call.now_ms())?;
    call.replies.integer(len as i64);
    Ok(())
}

pub(super) fn strlen(call: &mut Call<'_>) -> Result<(), Error> {
    let len = call.store.get(call.arg(1), call.now_ms()).map_or(0, <[u8]>::len);
    call.replies.integer(len as i64);
    Ok(())
}

pub(super) fn incr(call: &mut Call<'_>) -> Result<(), Error> {
    add(call, 1)
}

pub(super) fn decr(call: &mut Call<'_>) -> Result<(), Error> {
    add(call, -1)
}

pub(super) fn incrby(call: &mut Call<'_>) -> Result<(), Error> {
    let delta = call.number(2)?;
    add(call, delta)
}

fn add(call: &mut Call<'_>, delta: i64) -> Result<(), Error> {
    let sum = call.store.add(call.arg(1), delta, call.now_ms())?;
    call.replies.integer(sum);
    Ok(())
}
