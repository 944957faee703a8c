//! Which version of Rollcall this is, as the one number that files have room for.

use std::fmt;

/// A version of Rollcall: major, minor (16 bits) and patch in one number, which is larger for a newer version and never
/// negative as an `i32`. SQLite's `user_version` and the head of a snapshot have room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// This one.
    pub const CURRENT: Self = Self::of(
        number(env!("CARGO_PKG_VERSION_MAJOR")),
        number(env!("CARGO_PKG_VERSION_MINOR")),
        number(env!("CARGO_PKG_VERSION_PATCH")),
    );

    const fn of(major: u32, minor: u32, patch: u32) -> Self {
        Self((major & 0x7f) << 24 | (minor & 0xffff) << 8 | patch & 0xff)
    }
}

impl Version {
    /// What is told of a file to which a newer version gave its form: this one, if the file says it.
    #[must_use]
    pub fn newer_form(self) -> String {
        let (this, remedy) = (Self::CURRENT, "or go back to a backup from before (docs/upgrades.md)");
        if self > this {
            format!("Rollcall {self} gave it its form, and this is {this}: start {self} or a newer one, {remedy}")
        } else {
            format!("a newer version of Rollcall gave it its form, and this is {this}: start that one, {remedy}")
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, a, b, patch] = self.0.to_be_bytes();
        write!(f, "{major}.{}.{patch}", u16::from_be_bytes([a, b]))
    }
}

/// Cargo writes them in digits.
const fn number(digits: &str) -> u32 {
    let (mut bytes, mut value) = (digits.as_bytes(), 0);
    while let [digit, rest @ ..] = bytes {
        value = value * 10 + (*digit - b'0') as u32;
        bytes = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_a_larger_number_and_told_as_cargo_tells_it() {
        let all = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 256, 3), (1, 0, 0), (1, 2, 3), (127, 65_535, 255)];
        let of = |(major, minor, patch)| Version::of(major, minor, patch);
        for pair in all.windows(2) {
            assert!(of(pair[0]) < of(pair[1]), "{pair:?}");
        }
        for (major, minor, patch) in all {
            assert_eq!(of((major, minor, patch)).to_string(), format!("{major}.{minor}.{patch}"));
            assert!(i32::try_from(of((major, minor, patch)).0).is_ok());
        }
        assert_eq!(Version::CURRENT.to_string(), env!("CARGO_PKG_VERSION"));
        let later = Version(Version::CURRENT.0 + 0x0200);
        assert!(later.newer_form().contains(&format!("start {later} or a newer one")), "{}", later.newer_form());
        assert!(Version(0).newer_form().contains("start that one"));
    }
}
