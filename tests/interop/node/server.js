// Runs smtp-server for peers/scripted.py. usage: node server.js SETTINGS-AS-JSON
// It takes every message, but for recipients whose names say otherwise, and writes each into a file.
'use strict'

const fs = require('fs')
const path = require('path')
const { SMTPServer } = require('smtp-server')

const settings = JSON.parse(process.argv[2])
let taken = 0

function refusal (code, text) {
  const error = new Error(text)
  error.responseCode = code
  return error
}

const server = new SMTPServer({
  name: 'mx.test',
  key: fs.readFileSync(settings.key),
  cert: fs.readFileSync(settings.certificate),
  authOptional: true,
  disableReverseLookup: true,
  logger: false,
  ...settings.options,

  onAuth (auth, session, callback) {
    const right = auth.method === 'XOAUTH2'
      ? auth.username === 'alice@a.test' && auth.accessToken === 'good-token'
      : auth.username === 'alice@a.test' && (auth.validatePassword
        ? auth.validatePassword('wonderland')
        : auth.password === 'wonderland')
    if (right) callback(null, { user: auth.username })
    else callback(refusal(535, '5.7.8 wrong'))
  },

  onRcptTo (address, session, callback) {
    if (address.address.startsWith('reject@')) callback(refusal(550, '5.1.1 no such user'))
    else if (address.address.startsWith('defer@')) callback(refusal(450, '4.2.0 try later'))
    else callback()
  },

  onData (stream, session, callback) {
    const chunks = []
    stream.on('data', chunk => chunks.push(chunk))
    stream.on('end', () => {
      if (stream.sizeExceeded) return callback(refusal(552, '5.3.4 too big'))
      const name = String(++taken).padStart(6, '0')
      const facts = {
        mail_from: session.envelope.mailFrom ? session.envelope.mailFrom.address : '',
        mail_args: session.envelope.mailFrom ? session.envelope.mailFrom.args : {},
        rcpt_to: session.envelope.rcptTo.map(rcpt => rcpt.address),
        data: Buffer.concat(chunks).toString('base64'),
        secure: session.secure,
        authenticated: session.user || ''
      }
      fs.writeFileSync(path.join(settings.mail, '.' + name), JSON.stringify(facts))
      fs.renameSync(path.join(settings.mail, '.' + name), path.join(settings.mail, name + '.json'))
      if (settings.options.lmtp) callback(null, session.envelope.rcptTo.map(() => '2.0.0 taken'))
      else callback(null, '2.0.0 taken')
    })
  }
})

server.on('error', error => console.error(error.message))
server.listen(settings.port, '127.0.0.1', () => console.log('ready'))
