//! The file that answers what a configuration is called.

use askama::Template;

use super::sheet::print;
use crate::render::bundle::{Bundle, Content};

/// Where nginx answers, below its working directory (sockets are not relative to the prefix).
pub const REVISION_SOCKET: &str = "run/revision.sock";

pub const FILE: &str = "conf/revision.conf";

#[derive(Template)]
#[template(path = "nginx/revision.conf")]
struct RevisionConf<'a> {
    revision: &'a str,
}

/// Writes what the configuration answers: the digest of everything but this answer. To be called
/// again after a range has been taken out of a bundle, or the old answer would prove the new text.
pub fn stamp(bundle: &mut Bundle) {
    bundle.structure.remove(FILE);
    let revision = bundle.revision();
    let text = print(&RevisionConf {
        revision: revision.as_str(),
    });
    let content = Content::Text(text);
    bundle.structure.insert(FILE.to_owned(), content);
}

/// What the private socket answers once this bundle is loaded, before a space and the worker's pid;
/// empty for a bundle that was never stamped.
pub fn revision_answer(bundle: &Bundle) -> &str {
    let Some(Content::Text(text)) = bundle.structure.get(FILE) else {
        return "";
    };
    let answer = text.split_once("return 200 \"");
    let answer = answer.and_then(|(_, rest)| Some(rest.split_once(" $pid\\n\"")?.0));
    answer.unwrap_or_default()
}
