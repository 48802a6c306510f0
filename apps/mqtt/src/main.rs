//! Subscribes to a topic of the broker `mqtt.broker=HOST:PORT`, given on the kernel's command line,
//! publishes a message there, and says what came back. The machine is then powered off.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt::Debug;

use axwire::{
    command_line,
    io::BufStream,
    net::{TcpStream, has_address},
    println,
    time::{Duration, timeout},
};
use rust_mqtt::{
    buffer::AllocBuffer,
    client::{
        Client,
        event::Event,
        options::{
            ConnectOptions, DisconnectOptions, PublicationOptions, SubscriptionOptions,
            TopicReference,
        },
    },
    types::{MqttString, TopicFilter, TopicName},
};

/// How long it may take, from the network's coming up to the end.
const PATIENCE: Duration = Duration::from_secs(30);
const TOPIC: &str = "axwire/greeting";

#[axwire::main]
async fn main() -> Result<(), String> {
    let line = command_line();
    let broker = line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("mqtt.broker="))
        .ok_or("mqtt.broker=HOST:PORT is missing")?;
    let message = timeout(PATIENCE, async {
        has_address().await;
        exchange(broker).await
    });
    println!("mqtt: got {}", message.await.map_err(|elapsed| elapsed.to_string())??);
    Ok(())
}

/// Sends a message to everybody who listens, which is us, and waits for it.
async fn exchange(broker: &str) -> Result<String, String> {
    let stream = TcpStream::connect(broker).await.map_err(|error| format!("{broker}: {error}"))?;
    // It writes and reads a few bytes at a time.
    let stream = BufStream::new(stream);
    let mut buffer = AllocBuffer;
    let mut client = Client::<'_, '_, _, _, 1, 1, 1, 1, 16, 0, 0>::new(&mut buffer);
    let topic = MqttString::from_str(TOPIC).map_err(debug)?;
    let name = MqttString::from_str("axwire").map_err(debug)?;
    client
        .connect(stream, &ConnectOptions::new().clean_start(), Some(name))
        .await
        .map_err(debug)?;

    let filter = TopicFilter::new(topic.as_borrowed()).ok_or("the topic is none")?;
    let options = SubscriptionOptions::new().exactly_once();
    client.subscribe(filter, &options).await.map_err(debug)?;
    let topic = TopicName::new(topic).ok_or("the topic is none")?;
    let options = PublicationOptions::new(TopicReference::Name(topic)).exactly_once();
    client.publish(&options, "hello from a unikernel".into()).await.map_err(debug)?;
    // Acknowledgements come before it and after it.
    let (mut message, mut is_delivered) = (None, false);
    while message.is_none() || !is_delivered {
        match client.poll().await.map_err(debug)? {
            Event::Publish(publish) => {
                message = Some(String::from_utf8_lossy(publish.message.as_ref()).into_owned());
            }
            Event::PublishComplete(_) => is_delivered = true,
            _ => {}
        }
    }
    client.disconnect(&DisconnectOptions::new()).await.map_err(debug)?;
    message.ok_or("no message".into())
}

fn debug(error: impl Debug) -> String {
    format!("{error:?}")
}
