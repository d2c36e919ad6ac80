//! The side that dials.

use super::exchange::{Exchange, Input, decode_methods, encode_methods, pad};
use super::{Ciphers, Error, Established, KEY_LEN, Method, Methods, Progress};
use peerage_base::Rng;

/// The side that dials.
pub struct Opener {
    info_hash: [u8; 20],
    methods: Methods,
    early: Vec<u8>,
    rng: Rng,
    exchange: Exchange,
    input: Input,
    ciphers: Option<Ciphers>,
    stage: Stage,
}

enum Stage {
    Key,
    /// Eight zeros, encrypted: looked for behind the padding.
    Constant([u8; 8]),
    Choice,
    Pad(Method, usize),
}

impl Opener {
    /// `early` goes out with the handshake, sparing a round trip: our handshake of BEP 3. Returns what to
    /// send first, too. More than 65,535 early bytes are cut off.
    #[must_use]
    pub fn new(info_hash: [u8; 20], methods: Methods, mut early: Vec<u8>, mut rng: Rng) -> (Self, Vec<u8>) {
        early.truncate(usize::from(u16::MAX));
        let exchange = Exchange::new(&mut rng);
        let mut first = exchange.public().to_vec();
        first.extend(pad(&mut rng));
        let (input, ciphers, stage) = (Input::default(), None, Stage::Key);
        (Self { info_hash, methods, early, rng, exchange, input, ciphers, stage }, first)
    }

    /// Takes in what the peer sent.
    ///
    /// # Errors
    /// The peer does not speak this protocol, or about another torrent, or picks what was not offered.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress, Error> {
        self.input.push(bytes);
        let mut out = Vec::new();
        loop {
            let go_on = match self.stage {
                Stage::Key => self.on_key(&mut out)?,
                Stage::Constant(constant) => self.on_constant(&constant)?,
                Stage::Choice => self.on_choice()?,
                Stage::Pad(method, len) => {
                    if let Some(established) = self.on_pad(method, len) {
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
        let secret = self.exchange.secret(&theirs)?;
        let mut ciphers = secret.ciphers(&self.info_hash, true);
        out.extend(secret.mark());
        out.extend(secret.name(&self.info_hash));
        let mut inner = encode_methods(self.methods.bits(), &mut self.rng);
        inner.extend((self.early.len() as u16).to_be_bytes());
        inner.append(&mut self.early);
        ciphers.send.apply(&mut inner);
        out.append(&mut inner);
        let mut constant = [0; 8];
        ciphers.receive.apply(&mut constant);
        self.ciphers = Some(ciphers);
        self.stage = Stage::Constant(constant);
        Ok(Some(()))
    }

    fn on_constant(&mut self, constant: &[u8; 8]) -> Result<Option<()>, Error> {
        let found = self.input.skip_past(constant)?;
        if found.is_some() {
            self.stage = Stage::Choice;
        }
        Ok(found)
    }

    fn on_choice(&mut self) -> Result<Option<()>, Error> {
        let Some(ciphers) = &mut self.ciphers else { return Ok(None) };
        let Some(mut choice) = self.input.take_array::<6>() else { return Ok(None) };
        ciphers.receive.apply(&mut choice);
        let (method, pad) = decode_methods(choice, self.methods, |ours, chosen| ours == chosen)?;
        self.stage = Stage::Pad(method, pad);
        Ok(Some(()))
    }

    fn on_pad(&mut self, method: Method, len: usize) -> Option<Established> {
        let pad = self.input.take(len)?;
        let mut ciphers = self.ciphers.take()?;
        ciphers.receive.applied(&pad);
        let mut early = self.input.rest();
        let ciphers = (method == Method::Rc4).then(|| {
            ciphers.receive.apply(&mut early);
            ciphers
        });
        Some(Established { method, info_hash: self.info_hash, ciphers, early })
    }
}
