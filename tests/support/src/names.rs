//! A small name server for tests: it tells of nothing but what a test has put there, so that nobody's test asks
//! the world.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, MX, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

/// Answers on 127.0.0.1 for as long as the test's runtime lives.
pub struct NameServer {
    address: String,
    known: Arc<Mutex<Known>>,
}

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Tells,
    Silent,
    /// It could not find out itself (SERVFAIL).
    Fails,
}

#[derive(Default)]
struct Known {
    records: BTreeMap<String, Vec<RData>>,
    mood: Mood,
}

impl NameServer {
    /// One that knows what the sender `example.com` of the tests has published: keys of Easy DKIM, and a policy.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, known) = (socket.local_addr().unwrap().to_string(), Arc::<Mutex<Known>>::default());
        let this = Self { address, known: known.clone() };
        for token in ["one", "two", "three"] {
            this.alias(&format!("{token}._domainkey.example.com"), &format!("{token}.dkim.amazonses.com"));
            this.txt(&format!("{token}.dkim.amazonses.com"), &["p=MIGfMA0"]);
        }
        this.txt("_dmarc.example.com", &["v=DMARC1; p=none"]);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let asked = Message::from_vec(&buffer[..length]).unwrap();
                let answer = known.lock().unwrap().answer(&asked);
                if let Some(answer) = answer {
                    socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                }
            }
        });
        this
    }

    /// Where it listens, with its port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts TXT records at a name, in place of all that was there.
    pub fn txt(&self, name: &str, texts: &[&str]) {
        // As DNS cuts long ones.
        let cut = |text: &&str| text.as_bytes().chunks(255).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
        self.put(name, texts.iter().map(|text| RData::TXT(TXT::new(cut(text)))).collect());
    }

    /// Makes a name another's.
    pub fn alias(&self, name: &str, of: &str) {
        self.put(name, vec![RData::CNAME(CNAME(of.parse().unwrap()))]);
    }

    /// Names the host that takes a name's mail, beside all that is there.
    pub fn mx(&self, name: &str, host: &str) {
        let mx = RData::MX(MX::new(10, host.parse().unwrap()));
        self.known.lock().unwrap().records.entry(name.to_owned()).or_default().push(mx);
    }

    /// Forgets a name.
    pub fn forget(&self, name: &str) {
        self.known.lock().unwrap().records.remove(name);
    }

    /// How it answers from now on.
    pub fn be(&self, mood: Mood) {
        self.known.lock().unwrap().mood = mood;
    }

    fn put(&self, name: &str, data: Vec<RData>) {
        self.known.lock().unwrap().records.insert(name.to_owned(), data);
    }
}

impl Known {
    fn answer(&self, asked: &Message) -> Option<Message> {
        if self.mood == Mood::Silent {
            return None;
        }
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.metadata.recursion_available = true;
        for query in &asked.queries {
            answer.add_query(query.clone());
            if self.mood == Mood::Fails {
                answer.metadata.response_code = ResponseCode::ServFail;
                continue;
            }
            let (mut name, kind) = (query.name().clone(), query.query_type());
            // A resolver follows an alias, and gives both.
            while let Some(found) = self.records.get(key(&name).as_str()) {
                let is_asked = |data: &&RData| data.record_type() == kind || data.record_type() == RecordType::CNAME;
                answer.add_answers(found.iter().filter(is_asked).map(|data| Record::from_rdata(name.clone(), 0, data.clone())));
                match found.first() {
                    Some(RData::CNAME(CNAME(of))) if kind != RecordType::CNAME => name = of.clone(),
                    _ => break,
                }
            }
            if !self.records.contains_key(key(query.name()).as_str()) {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        Some(answer)
    }
}

fn key(name: &Name) -> String {
    name.to_utf8().trim_end_matches('.').to_ascii_lowercase()
}
