//! A real swtpm, and a second way to it: commands as bytes, by which it makes what our own crate does
//! not.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use attest::{policy::Digest, spec};
use tpm::{KeyBlob, Tpm, UserKey};

/// A running swtpm with fresh state; stopped politely when dropped.
pub(crate) struct Swtpm {
    port: u16,
    folder: PathBuf,
}

impl Swtpm {
    pub(crate) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("latchkey-server-tpm-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        // Between choosing a port and swtpm's taking it another program may: then it is tried again.
        let port = (0..50).find_map(|_| {
            let port = free_pair();
            let started = Command::new("swtpm")
                .args(["socket", "--tpm2", "--daemon"])
                .args(["--flags", "not-need-init,startup-clear"])
                .arg("--tpmstate")
                .arg(format!("dir={}", folder.display()))
                .arg("--server")
                .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
                .arg("--ctrl")
                .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1))
                .output()
                .expect("swtpm is installed");
            started.status.success().then_some(port)
        });
        Self {
            port: port.expect("swtpm starts"),
            folder,
        }
    }

    /// Nothing else may have it open.
    pub(crate) fn open(&self) -> Tpm {
        Tpm::open(&format!("swtpm:host=127.0.0.1,port={}", self.port)).unwrap()
    }

    /// The same, by bytes.
    pub(crate) fn raw(&self) -> Raw {
        // swtpm serves one connection, and takes the next one when it has seen the last one's end.
        Raw {
            stream: TcpStream::connect(("127.0.0.1", self.port)).unwrap(),
        }
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = Command::new("swtpm_ioctl")
            .arg("--tcp")
            .arg(format!("127.0.0.1:{}", self.port + 1))
            .arg("-s")
            .status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn free_pair() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

const OWNER: u32 = 0x4000_0001;
const NULL: u32 = 0x4000_0007;
const PASSWORD: u32 = 0x4000_0009;

const RETRY: u32 = 0x922;

const CREATE_PRIMARY: u32 = 0x131;
const CREATE: u32 = 0x153;
const IMPORT: u32 = 0x156;
const LOAD: u32 = 0x157;
const FLUSH_CONTEXT: u32 = 0x165;
const START_AUTH_SESSION: u32 = 0x176;
const POLICY_PASSWORD: u32 = 0x18C;

/// swtpm, one command after the other.
pub(crate) struct Raw {
    stream: TcpStream,
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn numbers(list: &[u16]) -> Vec<u8> {
    list.iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Takes a TPM2B off.
fn take<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::from(u16::from_be_bytes(bytes[..2].try_into().unwrap()));
    let (taken, rest) = bytes[2..].split_at(length);
    *bytes = rest;
    taken
}

/// The public area of an RSA signing key.
pub(crate) fn signing_key(attributes: u32, policy: Digest, modulus: &[u8]) -> Vec<u8> {
    use spec::alg;
    [
        numbers(&[alg::RSA, alg::SHA256]),
        attributes.to_be_bytes().to_vec(),
        sized(&policy.0),
        numbers(&[alg::NULL, alg::RSASSA, alg::SHA256, 2048]),
        vec![0; 4],
        sized(modulus),
    ]
    .concat()
}

impl Raw {
    /// Sends a command with passwords, or policy sessions that take one; gives what follows the header.
    fn call(
        &mut self,
        code: u32,
        handles: &[u32],
        auths: &[(u32, &[u8])],
        params: &[u8],
    ) -> Vec<u8> {
        let mut body: Vec<u8> = handles.iter().flat_map(|h| h.to_be_bytes()).collect();
        let mut area = Vec::new();
        for (session, value) in auths {
            area.extend(session.to_be_bytes());
            area.extend(sized(&[]));
            area.push(1);
            area.extend(sized(value));
        }
        if !auths.is_empty() {
            body.extend(u32::try_from(area.len()).unwrap().to_be_bytes());
            body.extend(area);
        }
        body.extend(params);
        let tag: u16 = if auths.is_empty() { 0x8001 } else { 0x8002 };
        let length = u32::try_from(10 + body.len()).unwrap();
        let head = [
            &tag.to_be_bytes()[..],
            &length.to_be_bytes(),
            &code.to_be_bytes(),
        ];
        let packet = [&head.concat()[..], &body].concat();
        loop {
            let (result, answer) = self.exchange(&packet);
            // It asks to be asked again.
            if result != RETRY {
                assert_eq!(result, 0, "command {code:#x}");
                return answer;
            }
        }
    }

    fn exchange(&mut self, packet: &[u8]) -> (u32, Vec<u8>) {
        self.stream.write_all(packet).unwrap();
        let mut head = [0; 10];
        self.stream.read_exact(&mut head).unwrap();
        let mut answer = vec![0; u32_at(&head, 2) as usize - 10];
        self.stream.read_exact(&mut answer).unwrap();
        (u32_at(&head, 6), answer)
    }

    /// The storage key as our crate makes it.
    fn storage(&mut self) -> u32 {
        use spec::{alg, object};
        let attributes = object::FIXED_TPM
            | object::FIXED_PARENT
            | object::SENSITIVE_DATA_ORIGIN
            | object::USER_WITH_AUTH
            | object::NO_DA
            | object::RESTRICTED
            | object::DECRYPT;
        let template = [
            numbers(&[alg::ECC, alg::SHA256]),
            attributes.to_be_bytes().to_vec(),
            sized(&[]),
            numbers(&[
                alg::AES,
                128,
                alg::CFB,
                alg::NULL,
                alg::CURVE_P256,
                alg::NULL,
            ]),
            sized(&[]),
            sized(&[]),
        ]
        .concat();
        let params = [sized(&[0; 4]), sized(&template), sized(&[]), vec![0; 4]].concat();
        u32_at(
            &self.call(CREATE_PRIMARY, &[OWNER], &[(PASSWORD, b"")], &params),
            0,
        )
    }

    fn load(&mut self, storage: u32, blob: &KeyBlob) -> u32 {
        let params = [sized(&blob.private), sized(&blob.public)].concat();
        u32_at(&self.call(LOAD, &[storage], &[(PASSWORD, b"")], &params), 0)
    }

    /// A key that the TPM makes by this template.
    fn create(&mut self, storage: u32, template: &[u8], value: &[u8]) -> KeyBlob {
        let sensitive = [sized(value), sized(&[])].concat();
        let params = [sized(&sensitive), sized(template), sized(&[]), vec![0; 4]].concat();
        let answer = self.call(CREATE, &[storage], &[(PASSWORD, b"")], &params);
        let mut rest = &answer[4..];
        let private = take(&mut rest).to_vec();
        let public = take(&mut rest).to_vec();
        KeyBlob { public, private }
    }

    /// A key that was made elsewhere.
    fn import(&mut self, storage: u32, public: &[u8], prime: &[u8], value: &[u8]) -> KeyBlob {
        let sensitive = [
            numbers(&[spec::alg::RSA]),
            sized(value),
            sized(&[]),
            sized(prime),
        ];
        let params = [
            sized(&[]),
            sized(public),
            sized(&sized(&sensitive.concat())),
            sized(&[]),
            numbers(&[spec::alg::NULL]),
        ];
        let answer = self.call(IMPORT, &[storage], &[(PASSWORD, b"")], &params.concat());
        KeyBlob {
            public: public.to_vec(),
            private: take(&mut &answer[4..]).to_vec(),
        }
    }

    /// Has the attestation key certify a key that stands beside `beside`'s PIN counter, by the branches
    /// in `list`; `value` stands for the PIN.
    fn certify(
        &mut self,
        (key, attestation_key): (u32, u32),
        (beside, list): (&UserKey, &[Digest]),
        value: &[u8],
        (attestation_auth, nonce): (&[u8], &[u8]),
    ) -> (Vec<u8>, Vec<u8>) {
        use spec::{alg, cc};
        let params = [
            sized(&[0x11; 16]),
            sized(&[]),
            vec![1],
            numbers(&[alg::NULL, alg::SHA256]),
        ];
        let answer = self.call(START_AUTH_SESSION, &[NULL, NULL], &[], &params.concat());
        let session = u32_at(&answer, 0);
        let index = attest::NvPublic::read(beside.nv_public()).unwrap().index;
        let nothing = [sized(&[]), sized(&[]), sized(&[]), vec![0; 4]].concat();
        self.call(
            cc::POLICY_SECRET,
            &[index, session],
            &[(PASSWORD, value)],
            &nothing,
        );
        self.call(POLICY_PASSWORD, &[session], &[], &[]);
        self.call(
            cc::POLICY_COMMAND_CODE,
            &[session],
            &[],
            &cc::CERTIFY.to_be_bytes(),
        );
        let mut params = u32::try_from(list.len()).unwrap().to_be_bytes().to_vec();
        params.extend(list.iter().flat_map(|digest| sized(&digest.0)));
        self.call(cc::POLICY_OR, &[session], &[], &params);
        let params = [sized(nonce), numbers(&[alg::NULL])].concat();
        let auths = [(session, value), (PASSWORD, attestation_auth)];
        let answer = self.call(cc::CERTIFY, &[key, attestation_key], &auths, &params);
        let mut rest = &answer[4..];
        let certify = take(&mut rest).to_vec();
        // sigAlg and hash stand before the signature.
        rest = &rest[4..];
        let signature = take(&mut rest).to_vec();
        self.call(FLUSH_CONTEXT, &[], &[], &session.to_be_bytes());
        (certify, signature)
    }

    /// Makes a key by `made`, and has it certified for the registration of it.
    pub(crate) fn certified(
        mut self,
        made: &Made<'_>,
        (beside, list): (&UserKey, &[Digest]),
        value: &[u8],
        (attestation_key, attestation_auth): (&KeyBlob, &[u8]),
    ) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let storage = self.storage();
        let blob = match made {
            Made::Here(template) => self.create(storage, template, value),
            Made::Elsewhere { public, prime } => self.import(storage, public, prime, value),
        };
        let key = self.load(storage, &blob);
        let attestation_key = self.load(storage, attestation_key);
        let nonce = model::sha256(&blob.public);
        let (certify, signature) = self.certify(
            (key, attestation_key),
            (beside, list),
            value,
            (attestation_auth, &nonce),
        );
        for handle in [attestation_key, key, storage] {
            self.call(FLUSH_CONTEXT, &[], &[], &handle.to_be_bytes());
        }
        (blob.public, certify, signature)
    }
}

/// How a key comes into the TPM.
pub(crate) enum Made<'a> {
    /// By this template.
    Here(Vec<u8>),
    /// In software, and imported.
    Elsewhere { public: Vec<u8>, prime: &'a [u8] },
}
