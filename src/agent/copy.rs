//! The copy of the last good bundle, with which an agent comes up while the cluster cannot be asked. It
//! is what would be published of it, as one file that only we can read: keys are in it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::PrivatePem;
use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::wire::{Installation, Plain, Publication, Shard, WireError, decode, encode};

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("cannot write {file}")]
    Write { file: PathBuf, source: io::Error },
    #[error("cannot read {file}")]
    Read { file: PathBuf, source: io::Error },
    #[error("{file} is no copy of a bundle")]
    Parse {
        file: PathBuf,
        source: serde_json::Error,
    },
    #[error("{file} holds no good bundle")]
    Decode { file: PathBuf, source: WireError },
    #[error("{file} is for {found}, not for {wanted}")]
    OtherProxy {
        file: PathBuf,
        found: ProxyKind,
        wanted: ProxyKind,
    },
}

#[derive(Serialize, Deserialize)]
struct Written {
    name: String,
    index: Plain,
    plain: BTreeMap<String, Plain>,
    private: BTreeMap<String, Plain>,
    endpoints: BTreeMap<String, Plain>,
}

/// Keeps a bundle in place of the one before; a reader sees one of them, whole.
pub fn keep(file: &Path, bundle: &Bundle, installation: &Installation) -> Result<(), CopyError> {
    let publication = encode(bundle, installation, &BTreeMap::new());
    let mut written = Written {
        name: publication.name,
        index: publication.index,
        plain: BTreeMap::new(),
        private: BTreeMap::new(),
        endpoints: publication.endpoints,
    };
    for (name, shard) in publication.shards {
        match shard {
            Shard::Plain(data) => {
                written.plain.insert(name, data);
            }
            Shard::Private(data) => {
                let reveal = |(key, text): (String, PrivatePem)| (key, text.reveal().to_owned());
                written
                    .private
                    .insert(name, data.into_iter().map(reveal).collect());
            }
        }
    }
    let failed = |source| CopyError::Write {
        file: file.to_path_buf(),
        source,
    };
    let next = file.with_extension("next");
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut writer = io::BufWriter::new(options.open(&next)?);
        serde_json::to_writer(&mut writer, &written)?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(&next, file)
    };
    write().map_err(failed)
}

/// The kept bundle; None where none is kept.
pub fn kept(file: &Path, proxy: ProxyKind) -> Result<Option<Bundle>, CopyError> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let file = file.to_path_buf();
            return Err(CopyError::Read { file, source });
        }
    };
    let written: Written = serde_json::from_slice(&text).map_err(|source| CopyError::Parse {
        file: file.to_path_buf(),
        source,
    })?;
    let hide = |data: Plain| {
        let hidden = data.into_iter();
        Shard::Private(
            hidden
                .map(|(key, text)| (key, PrivatePem::new(text)))
                .collect(),
        )
    };
    let plain = written.plain.into_iter();
    let plain = plain.map(|(name, data)| (name, Shard::Plain(data)));
    let private = written
        .private
        .into_iter()
        .map(|(name, data)| (name, hide(data)));
    let publication = Publication {
        name: written.name,
        index: written.index,
        shards: plain.chain(private).collect(),
        endpoints: written.endpoints,
    };
    let bundle = decode(&publication).map_err(|source| CopyError::Decode {
        file: file.to_path_buf(),
        source,
    })?;
    if bundle.proxy != proxy {
        return Err(CopyError::OtherProxy {
            file: file.to_path_buf(),
            found: bundle.proxy,
            wanted: proxy,
        });
    }
    Ok(Some(bundle))
}
