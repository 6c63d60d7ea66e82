/*
 * fastsink: an SMTP server that counts messages and forgets them.
 *
 * For the benchmarks only. It must never be what limits a client, so it reads with one thread per connection into one large
 * buffer, answers what the buffer held with one write, and looks at the mail data only to find its end. It announces what the
 * Debian sink does not: CHUNKING and, given a certificate, STARTTLS.
 *
 * Usage: fastsink PORT COUNTERS [CERTIFICATE KEY]
 *
 * COUNTERS is a file of three unsigned 64-bit numbers in host order, kept up to date through shared memory: connections
 * accepted, messages taken, octets of mail data taken. The benchmark compares them with what the client claims to have sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#else
typedef void SSL;
#endif

enum { INPUT_SIZE = 128 * 1024, OUTPUT_SIZE = 16 * 1024 };

struct counters {
    _Atomic uint64_t connections, messages, octets;
};

struct session {
    int fd;
    SSL *tls;
    bool mail;
    unsigned recipients;
    size_t start, end;                                            /* what stands unread in input */
    size_t owed;                                                  /* what stands unsent in output */
    char input[INPUT_SIZE];
    char output[OUTPUT_SIZE];
};

static struct counters *counters;
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static ssize_t read_some(struct session *s, char *to, size_t room)
{
#ifdef WITH_TLS
    if (s->tls)
        return SSL_read(s->tls, to, (int)room);
#endif
    return read(s->fd, to, room);
}

static bool flush(struct session *s)
{
    for (size_t sent = 0; sent < s->owed;) {
        ssize_t n;
#ifdef WITH_TLS
        if (s->tls)
            n = SSL_write(s->tls, s->output + sent, (int)(s->owed - sent));
        else
#endif
            n = write(s->fd, s->output + sent, s->owed - sent);
        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    s->owed = 0;
    return true;
}

static bool reply(struct session *s, const char *text)
{
    size_t length = strlen(text);
    if (s->owed + length > OUTPUT_SIZE && !flush(s))
        return false;
    memcpy(s->output + s->owed, text, length);
    s->owed += length;
    return true;
}

/* Answer all that was asked, then wait for more: the only place that reads, so replies leave one write per read. */
static bool fill(struct session *s)
{
    if (!flush(s))
        return false;
    if (s->start > 0) {
        memmove(s->input, s->input + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
    if (s->end == INPUT_SIZE)
        return false;                                             /* a command line of 128 KiB */
    ssize_t n = read_some(s, s->input + s->end, INPUT_SIZE - s->end);
    if (n <= 0)
        return false;
    s->end += (size_t)n;
    return true;
}

static void taken(struct session *s, uint64_t octets, bool whole)
{
    atomic_fetch_add(&counters->octets, octets);
    if (whole) {
        atomic_fetch_add(&counters->messages, 1);
        s->mail = false;
        s->recipients = 0;
    }
}

/* Mail data up to CRLF.CRLF. The CRLF of the DATA line itself is searched too, so that a lone dot ends an empty message. */
static bool receive_data(struct session *s)
{
    uint64_t octets = 0;
    s->start -= 2;
    for (;;) {
        char *from = s->input + s->start;
        size_t length = s->end - s->start;
        char *mark = memmem(from, length, "\r\n.\r\n", 5);
        if (mark) {
            octets += (uint64_t)(mark - from);
            s->start += (size_t)(mark - from) + 5;
            break;
        }
        size_t keep = length < 4 ? length : 4;
        octets += length - keep;
        s->start = s->end - keep;
        if (!fill(s))
            return false;
    }
    taken(s, octets, true);
    return reply(s, "250 2.0.0 Ok\r\n");
}

static bool receive_chunk(struct session *s, const char *arguments)
{
    char *rest;
    uint64_t size = strtoull(arguments, &rest, 10), left = size;
    bool last = strncasecmp(rest, " LAST", 5) == 0, wanted = s->mail && s->recipients > 0;
    while (left > 0) {
        if (s->start == s->end && !fill(s))
            return false;
        size_t here = s->end - s->start;
        if (here > left)
            here = (size_t)left;
        s->start += here;
        left -= here;
    }
    if (!wanted)
        return reply(s, "503 5.5.1 Not in a transaction\r\n");
    taken(s, size, last);
    return reply(s, "250 2.0.0 Ok\r\n");
}

static bool greet(struct session *s)
{
    bool offer = false;
#ifdef WITH_TLS
    offer = tls_context && !s->tls;
#endif
    s->mail = false;
    s->recipients = 0;
    return reply(s, "250-sink.test\r\n250-PIPELINING\r\n250-SIZE 1073741824\r\n250-8BITMIME\r\n") &&
           reply(s, offer ? "250-STARTTLS\r\n" : "") && reply(s, "250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n");
}

static bool start_tls(struct session *s)
{
#ifdef WITH_TLS
    if (tls_context && !s->tls) {
        if (!reply(s, "220 2.0.0 Go ahead\r\n") || !flush(s) || s->start != s->end)
            return false;                                         /* plain text behind STARTTLS */
        SSL *tls = SSL_new(tls_context);
        SSL_set_fd(tls, s->fd);
        s->tls = tls;
        return SSL_accept(tls) == 1;
    }
#endif
    return reply(s, "502 5.5.1 No TLS here\r\n");
}

static bool is(const char *line, const char *verb)
{
    return strncasecmp(line, verb, strlen(verb)) == 0;
}

/* Obey one command line (without its CRLF); false ends the session. */
static bool obey(struct session *s, const char *line)
{
    if (is(line, "MAIL FROM:")) {
        s->mail = true;
        s->recipients = 0;
        return reply(s, "250 2.1.0 Ok\r\n");
    }
    if (is(line, "RCPT TO:")) {
        if (!s->mail)
            return reply(s, "503 5.5.1 MAIL first\r\n");
        s->recipients++;
        return reply(s, "250 2.1.5 Ok\r\n");
    }
    if (is(line, "DATA")) {
        if (!s->mail || s->recipients == 0)
            return reply(s, "503 5.5.1 RCPT first\r\n");
        return reply(s, "354 End data with <CR><LF>.<CR><LF>\r\n") && receive_data(s);
    }
    if (is(line, "BDAT "))
        return receive_chunk(s, line + 5);
    if (is(line, "RSET")) {
        s->mail = false;
        s->recipients = 0;
        return reply(s, "250 2.0.0 Ok\r\n");
    }
    if (is(line, "NOOP"))
        return reply(s, "250 2.0.0 Ok\r\n");
    if (is(line, "EHLO "))
        return greet(s);
    if (is(line, "HELO "))
        return reply(s, "250 sink.test\r\n");
    if (is(line, "STARTTLS"))
        return start_tls(s);
    if (is(line, "QUIT")) {
        (void)(reply(s, "221 2.0.0 Bye\r\n") && flush(s));
        return false;
    }
    return reply(s, "500 5.5.2 What?\r\n");
}

static void converse(struct session *s)
{
    if (!reply(s, "220 sink.test ESMTP\r\n"))
        return;
    for (;;) {
        char *line = s->input + s->start, *end;
        while (!(end = memchr(line, '\n', s->end - s->start))) {
            if (!fill(s))
                return;
            line = s->input + s->start;
        }
        s->start = (size_t)(end - s->input) + 1;
        if (end == line || end[-1] != '\r')
            return;                                               /* a bare LF: no client of ours may send one */
        end[-1] = '\0';
        bool data = is(line, "DATA");
        bool alive;
        if (data) {
            end[-1] = '\r';                                       /* receive_data wants the CRLF in its place */
            alive = obey(s, "DATA");
        } else {
            alive = obey(s, line);
        }
        if (!alive)
            return;
    }
}

static void *serve(void *argument)
{
    struct session *s = argument;
    converse(s);
#ifdef WITH_TLS
    if (s->tls) {
        SSL_shutdown(s->tls);
        SSL_free(s->tls);
    }
#endif
    close(s->fd);
    free(s);
    return NULL;
}

static void die(const char *what)
{
    fprintf(stderr, "fastsink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void load_certificate(const char *certificate, const char *key)
{
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1)
        die("certificate");
#else
    (void)certificate;
    (void)key;
    errno = ENOTSUP;
    die("built without TLS");
#endif
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: fastsink PORT COUNTERS [CERTIFICATE KEY]\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    int file = open(argv[2], O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, sizeof *counters) < 0)
        die(argv[2]);
    counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED)
        die("mmap");
    if (argc == 5)
        load_certificate(argv[3], argv[4]);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        die("listen");

    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct session *s = malloc(sizeof *s);
        if (!s)
            die("malloc");
        s->fd = fd;
        s->tls = NULL;
        s->mail = false;
        s->recipients = 0;
        s->start = s->end = s->owed = 0;
        atomic_fetch_add(&counters->connections, 1);
        pthread_t thread;
        if (pthread_create(&thread, &attributes, serve, s) != 0) {
            close(fd);
            free(s);
        }
    }
}
