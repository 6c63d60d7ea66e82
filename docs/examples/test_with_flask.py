"""A Flask application that sends with Flask-Mail."""

import smtplib

import pytest
from flask import Flask
from flask_mail import Mail, Message

mail = Mail()


def create_app(**config):
    """The application under test: it greets a new customer."""
    app = Flask(__name__)
    app.config.update(MAIL_DEFAULT_SENDER="shop@example.org", **config)
    mail.init_app(app)

    @app.post("/customers/<address>")
    def register(address):
        mail.send(Message("Welcome", [address], "Good to see you.", html="<p>Good to see you.</p>"))
        return "registered", 201

    return app


@pytest.fixture
def client(capture_process):
    app = create_app(
        TESTING=True,
        MAIL_SERVER=capture_process.host,
        MAIL_PORT=capture_process.port,
        MAIL_SUPPRESS_SEND=False,  # else TESTING means that nothing is sent
    )
    return app.test_client()


def test_a_customer_is_greeted(client, capture_process):
    assert client.post("/customers/ann@example.net").status_code == 201
    (message,) = capture_process.wait_for(1)
    assert message.subject == "Welcome"
    assert message.rcpt_to == ("ann@example.net",)
    assert message.html.strip() == "<p>Good to see you.</p>"


def test_an_unknown_customer_is_an_error(client, capture_process):
    capture_process.reject(rcpt="ann@example.net", code=550, text="No such user")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        client.post("/customers/ann@example.net")
