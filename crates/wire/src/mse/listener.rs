//! The side that is dialled.

use super::exchange::{Exchange, Input, Secret, decode_methods, encode_methods, pad};
use super::{Ciphers, Error, Established, KEY_LEN, Method, Methods, Progress};
use peerage_base::Rng;

/// The side that is dialled.
pub struct Listener {
    known: Vec<[u8; 20]>,
    methods: Methods,
    rng: Rng,
    exchange: Exchange,
    input: Input,
    /// Once the key came.
    secret: Option<Secret>,
    /// Once the torrent is known.
    torrent: Option<([u8; 20], Ciphers)>,
    stage: Stage,
}

enum Stage {
    Key,
    Mark,
    Name,
    Offer,
    Pad(Method, usize),
    Early(Method, usize),
}

impl Listener {
    /// Expects an opener that knows one of these info hashes.
    #[must_use]
    pub fn new(known: Vec<[u8; 20]>, methods: Methods, mut rng: Rng) -> Self {
        let exchange = Exchange::new(&mut rng);
        let (input, secret, torrent, stage) = (Input::default(), None, None, Stage::Key);
        Self { known, methods, rng, exchange, input, secret, torrent, stage }
    }

    /// Takes in what the peer sent.
    ///
    /// # Errors
    /// The peer does not speak this protocol, or about another torrent, or offers no method that is
    /// accepted.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress, Error> {
        self.input.push(bytes);
        let mut out = Vec::new();
        loop {
            let go_on = match self.stage {
                Stage::Key => self.on_key(&mut out)?,
                Stage::Mark => self.on_mark()?,
                Stage::Name => self.on_name()?,
                Stage::Offer => self.on_offer()?,
                Stage::Pad(method, len) => self.on_pad(method, len),
                Stage::Early(method, len) => {
                    if let Some(established) = self.on_early(method, len, &mut out) {
                        return Ok(Progress::Done(out, established));
                    }
                    None
                }
            };
            if go_on.is_none() {
                return Ok(Progress::Send(out));
            }
        }
    }

    fn on_key(&mut self, out: &mut Vec<u8>) -> Result<Option<()>, Error> {
        let Some(theirs) = self.input.take_array::<KEY_LEN>() else { return Ok(None) };
        self.secret = Some(self.exchange.secret(&theirs)?);
        out.extend(self.exchange.public());
        out.extend(pad(&mut self.rng));
        self.stage = Stage::Mark;
        Ok(Some(()))
    }

    fn on_mark(&mut self) -> Result<Option<()>, Error> {
        let Some(secret) = &self.secret else { return Ok(None) };
        let found = self.input.skip_past(&secret.mark())?;
        if found.is_some() {
            self.stage = Stage::Name;
        }
        Ok(found)
    }

    fn on_name(&mut self) -> Result<Option<()>, Error> {
        let Some(secret) = &self.secret else { return Ok(None) };
        let Some(name) = self.input.take_array::<20>() else { return Ok(None) };
        let known = self.known.iter().find(|info_hash| secret.name(info_hash) == name);
        let info_hash = *known.ok_or(Error::UnknownTorrent)?;
        self.torrent = Some((info_hash, secret.ciphers(&info_hash, false)));
        self.stage = Stage::Offer;
        Ok(Some(()))
    }

    fn on_offer(&mut self) -> Result<Option<()>, Error> {
        let Some((_, ciphers)) = &mut self.torrent else { return Ok(None) };
        let Some(mut offer) = self.input.take_array::<14>() else { return Ok(None) };
        ciphers.receive.apply(&mut offer);
        let [0, 0, 0, 0, 0, 0, 0, 0, offer @ ..] = offer else { return Err(Error::BadConstant) };
        let (method, pad) = decode_methods(offer, self.methods, |ours, offered| ours & offered != 0)?;
        self.stage = Stage::Pad(method, pad);
        Ok(Some(()))
    }

    fn on_pad(&mut self, method: Method, len: usize) -> Option<()> {
        let (_, ciphers) = self.torrent.as_mut()?;
        let rest = self.input.take(len.saturating_add(2))?;
        let rest = ciphers.receive.applied(&rest);
        let early = u16::from_be_bytes(*rest.last_chunk()?);
        self.stage = Stage::Early(method, usize::from(early));
        Some(())
    }

    fn on_early(&mut self, method: Method, len: usize, out: &mut Vec<u8>) -> Option<Established> {
        let early = self.input.take(len)?;
        let (info_hash, mut ciphers) = self.torrent.take()?;
        let mut early = ciphers.receive.applied(&early);
        let mut answer = encode_methods(method.bit(), &mut self.rng);
        ciphers.send.apply(&mut answer);
        out.append(&mut answer);
        let mut rest = self.input.rest();
        let ciphers = (method == Method::Rc4).then(|| {
            ciphers.receive.apply(&mut rest);
            ciphers
        });
        early.append(&mut rest);
        Some(Established { method, info_hash, ciphers, early })
    }
}
