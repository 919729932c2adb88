//! Reads configuration as nginx's own tokenizer does (`ngx_conf_read_token`).

/// A directive with its words, quotes taken away, and its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    pub words: Vec<String>,
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// How many directives each block has, down the tree. Their order is not compared: names in buckets
/// follow from values.
pub fn blocks(directives: &[Directive]) -> Vec<usize> {
    let mut counts = vec![directives.len()];
    for block in directives.iter().filter_map(|d| d.block.as_deref()) {
        counts.extend(blocks(block));
    }
    counts.sort();
    counts
}

/// All directives of a name, at any depth.
pub fn all<'a>(directives: &'a [Directive], name: &str, found: &mut Vec<&'a Directive>) {
    for directive in directives {
        if directive.name() == name {
            found.push(directive);
        }
        all(directive.block.as_deref().unwrap_or_default(), name, found);
    }
}

pub fn read(text: &str) -> Result<Vec<Directive>, String> {
    let mut reader = Reader {
        characters: text.chars().collect(),
        at: 0,
    };
    reader.block(0)
}

struct Reader {
    characters: Vec<char>,
    at: usize,
}

impl Reader {
    fn next(&mut self) -> Option<char> {
        let c = self.characters.get(self.at).copied();
        self.at += 1;
        c
    }

    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, String> {
        let mut directives = Vec::new();
        let mut words: Vec<String> = Vec::new();
        loop {
            let Some(c) = self.next() else {
                return match (depth, words.is_empty()) {
                    (0, true) => Ok(directives),
                    _ => Err("unexpected end of file".into()),
                };
            };
            match c {
                ' ' | '\t' | '\r' | '\n' => {}
                '#' => while !matches!(self.next(), Some('\n') | None) {},
                ';' | '{' if words.is_empty() => return Err(format!("unexpected {c}")),
                ';' => directives.push(Directive {
                    words: std::mem::take(&mut words),
                    block: None,
                }),
                '{' => directives.push(Directive {
                    words: std::mem::take(&mut words),
                    block: Some(self.block(depth + 1)?),
                }),
                '}' if words.is_empty() && depth > 0 => return Ok(directives),
                '}' => return Err("unexpected }".into()),
                '"' | '\'' => words.push(self.quoted(c)?),
                _ => {
                    self.at -= 1;
                    words.push(self.bare());
                }
            }
        }
    }

    fn escape(&mut self, word: &mut String) {
        match self.next() {
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut word = String::new();
        loop {
            match self.next() {
                Some('\\') => self.escape(&mut word),
                Some(c) if c == quote => break,
                Some(c) => word.push(c),
                None => return Err("a quote is not closed".into()),
            }
        }
        match self.characters.get(self.at) {
            Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') | None => Ok(word),
            Some(c) => Err(format!("unexpected {c} after a quote")),
        }
    }

    fn bare(&mut self) -> String {
        let mut word = String::new();
        let mut after_dollar = false;
        while let Some(c) = self.next() {
            match c {
                '{' if after_dollar => word.push(c),
                ' ' | '\t' | '\r' | '\n' => break,
                ';' | '{' => {
                    self.at -= 1;
                    break;
                }
                '\\' => self.escape(&mut word),
                c => word.push(c),
            }
            after_dollar = c == '$';
        }
        word
    }
}
