//! The name that somebody meant who mistyped it.

use crate::text::distance;

/// The known name that differs least from `given`, if it differs little: by two letters, case not counted.
pub(super) fn meant<'n>(given: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const MOST: usize = 2;
    // A name has at most 128 bytes; what is longer is none.
    let given = given.get(..given.len().min(128))?.to_ascii_lowercase();
    let alike = known.filter(|name| name.len().abs_diff(given.len()) <= MOST);
    let distances = alike.map(|name| (distance(&given, &name.to_ascii_lowercase()), name));
    distances.filter(|(distance, _)| *distance <= MOST).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_name() {
        let known = || ["NightlyExport", "NightlyImport", "Login"].into_iter();
        assert_eq!(meant("NigthlyExport", known()), Some("NightlyExport"));
        assert_eq!(meant("nightlyexport", known()), Some("NightlyExport"));
        assert_eq!(meant("NightlyImports", known()), Some("NightlyImport"));
        assert_eq!(meant("Logout", known()), None);
        assert_eq!(meant(&"x".repeat(1 << 20), known()), None);
    }
}
