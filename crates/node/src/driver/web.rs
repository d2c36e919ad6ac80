//! Web seeds, as tasks beside the driver (BEP 19).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use peerage_base::TorrentId;
use peerage_base::limits::BLOCK_LEN;
use peerage_content::Info;
use peerage_net::egress::Egress;
use peerage_net::guard::Policy;
use peerage_net::http::{Client, Config, StatusCode};
use peerage_net::web_seed::{self, FilePart};
use peerage_swarm::{Block, WebChange, WebSeedId};

use super::Input;
use crate::inbox::Inbox;

/// A client that refuses local addresses unless the user allows them.
pub(super) fn client(allow_local: bool, egress: Egress) -> Client {
    Client::new(Config { policy: Policy { allow_local }, egress, ..Config::default() })
}

/// Bytes of one piece that a web seed is asked for.
pub(super) struct Request {
    pub torrent: TorrentId,
    pub web_seed: WebSeedId,
    pub url: String,
    pub piece: u32,
    pub begin: u32,
    pub len: u32,
}

/// Fetches in a task of its own; blocks and the end come through the inbox.
pub(super) fn spawn(client: Client, request: Request, info: Arc<Info>, inbox: Inbox<Input>) {
    tokio::spawn(async move {
        let change = match fetch(&client, &request, &info, &inbox).await {
            Ok(()) => WebChange::Done,
            Err(error) => {
                tracing::debug!(url = request.url, %error, "web seed failed");
                if is_final(&error) { WebChange::Gone } else { WebChange::Failed }
            }
        };
        inbox.put(Input::WebEnd(request.torrent, request.web_seed, change));
    });
}

/// Whether asking again cannot help.
fn is_final(error: &web_seed::Error) -> bool {
    match error {
        web_seed::Error::Http(error) => error.is_refusal(),
        web_seed::Error::Status { status, .. } => {
            matches!(*status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN)
        }
        web_seed::Error::WrongRange(_) | web_seed::Error::BadRange => true,
        web_seed::Error::Short { .. } => false,
    }
}

async fn fetch(
    client: &Client,
    request: &Request,
    info: &Info,
    inbox: &Inbox<Input>,
) -> Result<(), web_seed::Error> {
    let names = info.raw_paths();
    let mut blocks = Blocks { request, at: request.begin, bytes: BytesMut::new(), inbox };
    for span in info.layout.spans(request.piece, request.begin, request.len) {
        if span.pad {
            blocks.add(&vec![0; span.len as usize]);
            continue;
        }
        let Some(file) = info.layout.files().get(span.file) else { return Err(web_seed::Error::BadRange) };
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let mut names = names.get(span.file).into_iter().flatten().map(text);
        let name = names.next().unwrap_or_default();
        let path: Vec<String> = names.collect();
        let range = span.file_offset..span.file_offset + u64::from(span.len);
        let part = FilePart { name: &name, path: &path, file_len: file.len, range };
        let mut stream = web_seed::fetch(client, &request.url, &part).await?;
        while let Some(chunk) = stream.chunk().await? {
            blocks.add(&chunk);
        }
    }
    Ok(())
}

/// Cuts a stream into blocks. They are the same as a peer's blocks: 16 KiB, the last one shorter.
struct Blocks<'a> {
    request: &'a Request,
    at: u32,
    bytes: BytesMut,
    inbox: &'a Inbox<Input>,
}

impl Blocks<'_> {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        loop {
            let end = self.request.begin.saturating_add(self.request.len);
            let len = end.saturating_sub(self.at).min(BLOCK_LEN);
            if len == 0 || self.bytes.len() < len as usize {
                return;
            }
            let data: Bytes = self.bytes.split_to(len as usize).freeze();
            let block = Block { piece: self.request.piece, begin: self.at, len };
            self.at += len;
            self.inbox.put(Input::WebBlock(self.request.torrent, self.request.web_seed, block, data));
        }
    }
}
