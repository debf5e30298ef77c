//! What a bucket lists, without the keys that no exporter makes and that `object_store` has no name for: one of them would end the
//! listing with an error.

use object_store::path::Path;

use super::answer::element;

/// Takes such keys out of a listing, as empty parts (`manifests//x`) and dots make them. `None` if it has none.
pub(super) fn without_strays(listing: &str) -> Option<(String, Vec<String>)> {
    let (mut kept, mut strays, mut rest) = (String::new(), Vec::new(), listing);
    while let Some((before, entry, after)) = next_entry(rest) {
        kept.push_str(before);
        match ["Key", "Prefix"].iter().find_map(|name| element(entry, name)).filter(|key| Path::parse(key).is_err()) {
            Some(stray) => strays.push(stray),
            None => kept.push_str(entry),
        }
        rest = after;
    }
    kept.push_str(rest);
    (!strays.is_empty()).then_some((kept, strays))
}

/// What is before the next entry, the entry, and what follows it.
fn next_entry(listing: &str) -> Option<(&str, &str, &str)> {
    const TAGS: [(&str, &str); 2] = [("<Contents>", "</Contents>"), ("<CommonPrefixes>", "</CommonPrefixes>")];
    let tag =
        |from: usize| TAGS.iter().find(|(opening, _)| listing[from..].starts_with(opening)).map(|tag| (from, tag.1));
    let (from, closing) = listing.match_indices("<Co").find_map(|(from, _)| tag(from))?;
    let to = from + listing[from..].find(closing)? + closing.len();
    Some((&listing[..from], &listing[from..to], &listing[to..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_that_have_no_name_are_taken_out_and_the_others_stay_as_they_are() {
        let good = "<Contents><Key>app/a.json</Key><Size>1</Size></Contents><CommonPrefixes><Prefix>app/date=X/</Prefix></CommonPrefixes>";
        assert_eq!(without_strays(&format!("<L><Prefix>app//</Prefix>{good}</L>")), None);
        let bad = "<Contents><Key>app/&amp;&#1;</Key></Contents><CommonPrefixes>\n<Prefix>app//</Prefix></CommonPrefixes>\
                   <CommonPrefixes><Prefix>app/../</Prefix></CommonPrefixes>";
        let (kept, strays) = without_strays(&format!("<L>{bad}{good}{bad}</L>")).unwrap();
        assert_eq!(kept, format!("<L>{good}</L>"));
        assert_eq!(strays, [["app/&\u{1}", "app//", "app/../"]; 2].concat());
    }

    proptest! {
        #[test]
        fn any_listing_is_read_without_a_panic(text in "(<Contents>|</Contents>|<Key>|</Key>|<CommonPrefixes>|//|.|&#x1;){0,40}") {
            if let Some((kept, strays)) = without_strays(&text) {
                prop_assert!(!strays.is_empty() && kept.len() < text.len());
            }
        }
    }
}
