// smtp-server, taking every message and forgetting it. Usage: node server.js PORT

import { SMTPServer } from 'smtp-server';

const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    onData(stream, session, callback) {
        stream.resume();
        stream.on('end', () => callback(null));
    }
});

server.listen(Number(process.argv[2]), '127.0.0.1');
