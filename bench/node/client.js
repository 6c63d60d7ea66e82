// Nodemailer: mode "connection" is its bare SMTPConnection, "pool" its pooled transport (a plain one for fresh connections).

import fs from 'node:fs';
import { promisify } from 'node:util';
import nodemailer from 'nodemailer';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { Meter } from './meter.js';

const job = JSON.parse(process.argv[2]);
const addresses = Array.from({ length: job.recipients }, (_, number) => `recipient${number}@example.net`);
const body = job.stream ? null : fs.readFileSync(job.body);
const options = {
    host: job.host,
    port: job.port,
    name: 'client.test',
    secure: false,
    ignoreTLS: !job.tls,
    requireTLS: job.tls,
    tls: job.tls ? { ca: fs.readFileSync(job.ca) } : {}
};

// A new one each time: Nodemailer writes into the envelope it is given.
const envelope = () => ({ from: 'sender@example.org', to: addresses.slice() });
const message = () => (job.stream ? fs.createReadStream(job.body) : body);

function shares() {
    const each = Math.floor(job.messages / job.connections);
    const more = job.messages % job.connections;
    return Array.from({ length: job.connections }, (_, number) => each + (number < more ? 1 : 0));
}

async function openConnection() {
    const connection = new SMTPConnection(options);
    await new Promise((resolve, reject) => {
        connection.once('error', reject);
        connection.connect(resolve);
    });
    return connection;
}

async function quit(connection) {
    const ended = new Promise(resolve => connection.once('end', resolve));
    connection.quit();
    await ended;
}

async function converse(messages, meter) {
    for (let session = 0; session < (job.fresh ? messages : 1); session++) {
        const connection = await openConnection();
        const send = promisify(connection.send.bind(connection));
        meter.ready();
        for (let sent = 0; sent < (job.fresh ? 1 : messages); sent++) {
            const info = await send(envelope(), message());
            if (info.rejected.length) {
                throw new Error(`${info.rejected.length} recipients refused`);
            }
        }
        meter.answered();
        await quit(connection);
    }
}

async function sendByTransport(meter) {
    const transport = nodemailer.createTransport({
        ...options,
        pool: !job.fresh,
        maxConnections: job.connections,
        maxMessages: Infinity
    });
    let left = job.messages;
    const worker = async () => {
        while (left-- > 0) {
            const info = await transport.sendMail({ envelope: envelope(), raw: message() });
            if (info.rejected.length) {
                throw new Error(`${info.rejected.length} recipients refused`);
            }
        }
    };
    // One message more than there are connections keeps every connection fed.
    meter.ready();
    await Promise.all(Array.from({ length: job.fresh ? 1 : job.connections + 1 }, worker));
    meter.answered();
    transport.close();
}

const meter = new Meter();
if (job.mode === 'pool') {
    await sendByTransport(meter);
} else {
    await Promise.all(shares().map(share => converse(share, meter)));
}
meter.report(job.messages);
process.exit(0);
