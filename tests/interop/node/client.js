// Sends one message by Nodemailer for peers/clients.py. usage: node client.js SETTINGS-AS-JSON
'use strict'

const fs = require('fs')
const nodemailer = require('nodemailer')

const settings = JSON.parse(process.argv[2])
const transport = nodemailer.createTransport({
  host: 'localhost',
  port: settings.port,
  name: 'client.test',
  secure: settings.tls === 'implicit',
  requireTLS: settings.tls === 'starttls',
  ignoreTLS: settings.tls === '',
  authMethod: settings.mechanism || undefined,
  auth: settings.user ? { user: settings.user, pass: settings.password } : undefined
})

transport.sendMail({
  envelope: { from: settings.mail_from, to: settings.rcpt_to, use8BitMime: true },
  raw: fs.readFileSync(settings.message)
}, (error, info) => {
  if (error) {
    console.error(error.code, error.response || error.message)
    process.exitCode = 1
  } else {
    console.log(JSON.stringify(info))
  }
  transport.close()
})
