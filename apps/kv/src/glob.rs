//! Patterns of keys: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before a character that means
//! itself.

/// The longest pattern. Matching takes at most its length times the key's.
pub(crate) const PATTERN_LEN_MAX: usize = 256;

/// Whether all of `text` matches `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Behind the last star, and the rest of the text that was tried there. If it fails, the star
    // takes one more; stars before it need not be asked again.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            retry = Some((rest, text));
            pattern = rest;
            continue;
        }
        let step = match (pattern, text) {
            ([], []) => return true,
            ([], _) | (_, []) => None,
            ([..], [byte, rest @ ..]) => one(pattern, *byte).map(|pattern| (pattern, rest)),
        };
        (pattern, text) = match (step, retry) {
            (Some(step), _) => step,
            (None, Some((behind, [_, rest @ ..]))) => {
                retry = Some((behind, rest));
                (behind, rest)
            }
            (None, _) => return false,
        };
    }
}

/// Matches one character. Returns the rest of the pattern.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (is_in, rest) = class(rest, byte);
            is_in.then_some(rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// Whether a class has the character, and what is behind the class. One that is not closed ends
/// with the pattern.
fn class(mut pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let is_negated = matches!(pattern, [b'^', ..]);
    if is_negated {
        pattern = &pattern[1..];
    }
    let mut is_in = false;
    loop {
        let (from, to);
        (from, to, pattern) = match pattern {
            [] => return (is_in != is_negated, pattern),
            [b']', rest @ ..] => return (is_in != is_negated, rest),
            [b'\\', literal, rest @ ..] => (*literal, *literal, rest),
            [from, b'-', to, rest @ ..] => (*from.min(to), *from.max(to), rest),
            [literal, rest @ ..] => (*literal, *literal, rest),
        };
        is_in |= (from..=to).contains(&byte);
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::matches;

    #[test]
    fn patterns_match() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "key", true),
            ("", "", true),
            ("", "k", false),
            ("k?y", "key", true),
            ("k?y", "ky", false),
            ("?", "", false),
            ("h*llo", "hllo", true),
            ("h*llo", "heeello", true),
            ("h*llo", "heeellow", false),
            ("*a*b*c", "xxaxxbxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("**", "x", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("h[\\]]llo", "h]llo", true),
            ("[ab", "b", true),
            ("[", "a", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_pattern_times_text() {
        let pattern = "*a".repeat(100);
        let text = vec![b'a'; 100_000];
        assert!(matches(pattern.as_bytes(), &text));
        assert!(!matches(format!("{pattern}b").as_bytes(), &text));
    }
}
