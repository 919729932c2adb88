//! What a name was meant to be: others that are a few slips away.

/// Longer ones are no names, and comparing takes the product of the lengths.
const LONGEST: usize = 253;

/// How many slips lie between two names: letters that are wrong, missing, too many or swapped. None of
/// what is too long for a name.
pub fn distance(wanted: &str, found: &str) -> Option<usize> {
    if wanted.len() > LONGEST || found.len() > LONGEST {
        return None;
    }
    Some(strsim::damerau_levenshtein(wanted, found))
}

/// At most three names near the wanted one, nearest first.
pub fn near_names<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let limit = 2.max(wanted.len() / 4);
    let is_part = |long: &str, short: &str| short.len() > 3 && long.contains(short);
    let near = names.filter_map(|name| Some((distance(wanted, name)?, name)));
    let mut near: Vec<(usize, &str)> = near
        .filter(|(slips, name)| *slips <= limit || is_part(name, wanted) || is_part(wanted, name))
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}
