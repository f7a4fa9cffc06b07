//! Somebody on the bus: records what passes, and can cut the line.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tpm::Tpm;

use crate::swtpm::Swtpm;

/// One command and its answer, as they passed.
pub(crate) struct Exchange {
    pub(crate) command: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// What goes wrong on the line, at the command with this number.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// The TPM still gets the command, but its answer is lost and so is the line: to the TPM, the
    /// client was killed.
    Cut(usize),
    /// One bit of the answer changes, this many bytes before its end.
    Flip(usize, usize),
}

/// A client's line to a TPM.
pub(crate) struct Proxy {
    port: u16,
    record: Arc<Mutex<Vec<Exchange>>>,
}

impl Proxy {
    /// Serves one client.
    pub(crate) fn start(swtpm: &Swtpm, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let record = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&record);
        let upstream = swtpm.port;
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
            while let Some(command) = packet(&mut client) {
                server.write_all(&command).unwrap();
                let mut answer = packet(&mut server).expect("swtpm answers");
                let mut log = log.lock().unwrap();
                let number = log.len();
                log.push(Exchange {
                    command,
                    answer: answer.clone(),
                });
                drop(log);
                if fault == Fault::Cut(number) {
                    break;
                }
                if let Fault::Flip(at, before_end) = fault
                    && at == number
                    && let Some(place) = answer.len().checked_sub(before_end).filter(|at| *at > 9)
                {
                    answer[place] ^= 1;
                }
                if client.write_all(&answer).is_err() {
                    break;
                }
            }
            // The TPM is free for the next client before this one learns of the cut.
            server.shutdown(Shutdown::Both).unwrap();
            drop(server);
        });
        Self { port, record }
    }

    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    pub(crate) fn open(&self) -> Tpm {
        Tpm::open(&self.tcti()).unwrap()
    }

    /// What has passed so far.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.record.lock().unwrap())
    }
}

fn packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut packet = vec![0; 6];
    stream.read_exact(&mut packet).ok()?;
    let length = u32::from_be_bytes(packet[2..6].try_into().unwrap());
    packet.resize(length as usize, 0);
    stream.read_exact(&mut packet[6..]).ok()?;
    Some(packet)
}
