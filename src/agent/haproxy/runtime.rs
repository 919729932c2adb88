//! A connection to HAProxy's runtime API: commands go out together, each reply is read and held against
//! what it must say. Nothing that a user wrote can become a command of its own: words are escaped,
//! payloads checked, and what cannot be sent safely is refused here.
//!
//! A connection stays with the worker that accepted it, also after a reload; whoever reloads makes a
//! new one and compares [`Runtime::pid`].

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// A worker that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What ends each reply.
const PROMPT: &[u8] = b"\n> ";

/// A line that ends a payload. No line of a table or a certificate is a single word of these letters.
const END: &str = "%vigie-end%";

/// HAProxy's own limit is 128 KiB for a payload (`tune.cli.max-payload-size`).
pub const LARGEST_PAYLOAD: usize = 64 << 10;

/// HAProxy reads a command's line into a buffer of `tune.bufsize`.
const LONGEST_LINE: usize = 32_000;

/// Read at one time.
const ROOM: usize = 16 << 10;

/// Commands that are sent before their replies are read.
const PIPELINED: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// HAProxy did not do it; what it said.
    #[error("{command}: {words}")]
    Refused { command: String, words: String },
    #[error("{command} cannot be sent: {why}")]
    Unsafe { command: String, why: &'static str },
}

/// One command, and what HAProxy says when it has done it.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    line: String,
    payload: Option<String>,
    /// Every line of the payload is a key and a value.
    pairs: bool,
    done: Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing; messages about servers may stand there all the same.
    Silent,
    /// A reply that holds these words.
    Says(&'static str),
    /// Whatever it says: the command may find nothing to do.
    Any,
}

/// Without the payload, which may be a key.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl Command {
    /// A command of fixed words and of words that come from elsewhere.
    pub fn new(verb: &str, words: &[&str], done: Done) -> Self {
        let mut line = verb.to_owned();
        for word in words {
            line.push(' ');
            escape(word, &mut line);
        }
        Self {
            line,
            payload: None,
            pairs: false,
            done,
        }
    }

    /// Fixed words that follow an escaped one, such as a server's options. They are not escaped.
    pub fn followed_by(mut self, words: &str) -> Self {
        self.line.push_str(words);
        self
    }

    /// With lines that belong to it; each must be whole.
    pub fn with_payload(mut self, lines: impl Into<String>) -> Self {
        self.payload = Some(lines.into());
        self
    }

    /// With lines of a table: HAProxy would take a line without a value and the next one for one.
    pub fn with_lines(mut self, lines: impl Into<String>) -> Self {
        self.pairs = true;
        self.with_payload(lines)
    }

    /// What is sent, or why it must not be.
    fn print(&self) -> Result<String, RuntimeError> {
        let refused = |why| RuntimeError::Unsafe {
            command: self.short(),
            why,
        };
        if self.line.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(refused("it holds a control character"));
        }
        if self.line.len() > LONGEST_LINE {
            return Err(refused("it is longer than HAProxy reads"));
        }
        let Some(payload) = &self.payload else {
            return Ok(format!("{}\n", self.line));
        };
        // What begins with white space is read without it, and '#' stands for a comment in a file.
        let broken = |line: &str| {
            let control = |byte: u8| byte.is_ascii_control();
            line.is_empty()
                || line == END
                || line.starts_with([' ', '#'])
                || line.bytes().any(control)
        };
        // More spaces than one are read as one.
        let pair = |line: &str| {
            line.split_once(' ')
                .is_some_and(|(_, v)| !v.starts_with(' '))
        };
        let whole = payload.ends_with('\n') && (!self.pairs || payload.lines().all(pair));
        if !whole || payload.lines().any(broken) {
            return Err(refused("a line of its payload is not whole"));
        }
        if payload.len() > 2 * LARGEST_PAYLOAD {
            return Err(refused("its payload is larger than HAProxy takes"));
        }
        Ok(format!("{} <<{END}\n{payload}{END}\n", self.line))
    }

    /// For messages: without payload, and not without end.
    fn short(&self) -> String {
        self.line.chars().take(200).collect()
    }

    fn judge(&self, reply: &str) -> Result<(), RuntimeError> {
        let failed = reply.lines().any(is_failure);
        let done = match self.done {
            Done::Any => true,
            Done::Silent => !failed,
            Done::Says(words) => !failed && reply.contains(words),
        };
        if done {
            return Ok(());
        }
        let lines = reply.lines().map(str::trim).filter(|line| !line.is_empty());
        let words: Vec<&str> = lines.collect();
        Err(RuntimeError::Refused {
            command: self.short(),
            words: match words.is_empty() {
                true => "it said nothing".to_owned(),
                false => words.join(" "),
            },
        })
    }
}

/// `[3]: …` is an error and lower numbers are worse; an unknown command is told without a number.
fn is_failure(line: &str) -> bool {
    let level = line.trim_start().strip_prefix('[');
    let level = level.and_then(|rest| rest.split_once("]:"));
    level.is_some_and(|(level, _)| level.parse().is_ok_and(|level: u8| level <= 3))
        || line.contains("Unknown command")
}

/// Puts a backslash before whatever could mean something: HAProxy takes it away again.
fn escape(word: &str, line: &mut String) {
    for c in word.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"/._-:".contains(c) {
            line.push('\\');
        }
        line.push(c);
    }
}

pub struct Runtime {
    pid: i32,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    /// Read, and not yet taken as a reply.
    unread: Vec<u8>,
}

impl Runtime {
    /// Connects to the worker that accepts connections now.
    pub async fn connect(socket: &Path) -> Result<Self, RuntimeError> {
        let stream = UnixStream::connect(socket).await?;
        let (reader, writer) = stream.into_split();
        let mut runtime = Self {
            pid: 0,
            reader,
            writer,
            unread: Vec::new(),
        };
        let first = [
            Command::new("prompt", &[], Done::Any),
            Command::new("set severity-output number", &[], Done::Silent),
        ];
        runtime.run(&first).await?;
        let told = runtime
            .ask(&Command::new("show info", &[], Done::Says("Pid:")))
            .await?;
        let pid = told.lines().find_map(|line| line.strip_prefix("Pid:"));
        runtime.pid = pid.and_then(|pid| pid.trim().parse().ok()).unwrap_or(0);
        Ok(runtime)
    }

    /// Whether the other end still answers.
    pub async fn is_open(&mut self) -> bool {
        let ask = Command::new("show version", &[], Done::Any);
        self.ask(&ask).await.is_ok()
    }

    /// The worker at the other end.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Has all commands done, in their order. Those after a failing one may have been done too.
    pub async fn run(&mut self, commands: &[Command]) -> Result<(), RuntimeError> {
        for some in commands.chunks(PIPELINED) {
            let replies = self.exchange(some).await?;
            for (command, reply) in some.iter().zip(replies) {
                command.judge(&reply)?;
            }
        }
        Ok(())
    }

    /// Has one command done and gives what it says.
    pub async fn ask(&mut self, command: &Command) -> Result<String, RuntimeError> {
        let mut replies = self.exchange(std::slice::from_ref(command)).await?;
        let reply = replies.pop().unwrap_or_default();
        command.judge(&reply)?;
        Ok(reply)
    }

    /// The replies to some commands, unjudged.
    pub async fn exchange(&mut self, commands: &[Command]) -> Result<Vec<String>, RuntimeError> {
        let mut text = String::new();
        for command in commands {
            text.push_str(&command.print()?);
        }
        let Self {
            reader,
            writer,
            unread,
            ..
        } = self;
        let write = async { writer.write_all(text.as_bytes()).await };
        let read = async {
            let mut replies = Vec::with_capacity(commands.len());
            while replies.len() < commands.len() {
                replies.push(reply(reader, unread).await?);
            }
            Ok(replies)
        };
        let both = timeout(PATIENCE, async { tokio::try_join!(write, read) }).await;
        let both = both.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        Ok(both?.1)
    }
}

/// Reads up to the next prompt. While a payload is awaited another prompt is printed.
async fn reply(reader: &mut OwnedReadHalf, unread: &mut Vec<u8>) -> io::Result<String> {
    let mut searched = 0;
    loop {
        let found = unread[searched..]
            .windows(PROMPT.len())
            .position(|bytes| bytes == PROMPT);
        if let Some(at) = found {
            let rest = unread.split_off(searched + at + PROMPT.len());
            let reply = std::mem::replace(unread, rest);
            let reply = String::from_utf8_lossy(&reply[..searched + at]).into_owned();
            return Ok(reply
                .trim_start_matches("\n+ ")
                .trim_start_matches("+ ")
                .to_owned());
        }
        searched = unread.len().saturating_sub(PROMPT.len() - 1);
        // Not into an array: it would stand in every future around this one, and on the stack.
        unread.reserve(ROOM);
        if reader.read_buf(unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_users_stay_one_word() {
        let command = Command::new(
            "set map",
            &["maps/a.map", "/k", "a b;\\c <<d"],
            Done::Silent,
        );
        assert_eq!(
            command.print().unwrap(),
            "set map maps/a.map /k a\\ b\\;\\\\c\\ \\<\\<d\n"
        );
    }

    #[test]
    fn what_could_end_a_line_or_a_payload_is_never_sent() {
        let set = |value: &str| Command::new("set map", &["a", "b", value], Done::Silent).print();
        assert!(set("x\nshutdown sessions").is_err());
        assert!(set("x\r").is_err());
        assert!(set(&"x".repeat(40_000)).is_err());
        let add = |lines: &str| {
            let add = Command::new("add map", &["a"], Done::Silent);
            add.with_payload(lines).print()
        };
        assert!(add("k v\n").is_ok());
        let pairs = |lines: &str| {
            let add = Command::new("add map", &["a"], Done::Silent);
            add.with_lines(lines).print()
        };
        assert!(pairs("k v w\n").is_ok());
        assert!(pairs("k\nl v\n").is_err() && pairs("k  v\n").is_err());
        for lines in [
            "k v",
            "k v\n\ndisable frontend x\n",
            "\n",
            " \n",
            " k v\n",
            "#k v\n",
            "k\tv\n",
            "k \u{1}\n",
            "%vigie-end%\n",
        ] {
            assert!(add(lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn replies_tell_whether_it_was_done() {
        let silent = Command::new("add map", &[], Done::Silent);
        let says = Command::new("commit ssl cert", &[], Done::Says("Success!"));
        assert!(silent.judge("\n").is_ok());
        assert!(silent.judge("[6]: Server one/a is UP\n").is_ok());
        assert!(silent.judge("[3]: entry not found.\n").is_err());
        assert!(silent.judge("[6]: Unknown command: 'add'\n").is_err());
        assert!(says.judge("Committing x.\nSuccess!\n").is_ok());
        assert!(says.judge("").is_err());
    }
}
