// loadgen.c - neutral publish/fan-out load generator (single thread, edge-triggered epoll); bench/generators.py builds and runs it
// protocols: as (AppSync-Events WS+HTTP) mqtt nats (over WS, or -R raw TCP) redis (TCP) sio (socket.io v4 over WS) nchan (WS sub/pub + HTTP)
// modes: fan  closed loop, window W messages outstanding   | rate open loop at -r msg/s, intended-time stamps
//        http K keep-alive POST conns closed loop          | conn set-up rate + server RSS per connection
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
typedef unsigned char u8; typedef unsigned long long u64;
enum { AS, MQTT, NATS, REDIS, SIO, NCHAN }; enum { SUB, PUB, HTTP }; enum { UP, HELLO, WAIT, READY };
enum { FAN, RATE, HTTPM, CONN };
static const char *pnames[] = {"as", "mqtt", "nats", "redis", "sio", "nchan"}, *mnames[] = {"fan", "rate", "http", "conn"};
typedef struct { size_t off, len, cap; u8 *p; } buf;
typedef struct { int fd, kind, st, id; SSL *ssl; buf in, app, out; unsigned next; u64 t0; char idb[16]; } conn;
static int proto, mode, port = 8080, tls, N = 1, W = 64, K = 1, B = 1, ep, ready, fin, inshake, CC = 32, qos, raw;
static long M = 10000; static size_t S = 200; static double rate = 1000, tmax = 60; static char *pids = "", *host = "127.0.0.1", *wshost = "localhost", *httphost = "localhost"; // LG_WSHOST, LG_HTTPHOST: Host headers
static u8 *tmpl, *scratch; static conn *cs; static unsigned *cnt; static u64 *treq; static SSL_CTX *sctx;
static u64 deliv, errs, acks, sent, reqs, rxbytes, warm, idle; static char firsterr[200];
typedef struct { u64 n, max, b[64 * 64]; } hist; static hist hd, hl, hr; // delivery, last delivery, request RTT
static u64 ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void hadd(hist *h, u64 v) { int e = v < 64 ? 0 : 58 - __builtin_clzll(v); h->b[e * 64 + (v >> e) % 64 + (e ? 0 : 0)]++; h->n++; if (v > h->max) h->max = v; }
static double hq(hist *h, double q) { u64 want = q * h->n, a = 0; for (int e = 0; e < 58; e++) for (int m = e ? 32 : 0; m < 64; m++) { a += h->b[e * 64 + m]; if (a > want) return ((u64)m << e) / 1e3; } return h->max / 1e3; }
static void bad(const char *s) { if (!errs++) snprintf(firsterr, sizeof firsterr, "%.180s", s); }
static void need(buf *b, size_t n) {
  if (b->off == b->len) b->off = b->len = 0;
  if (b->cap - b->len >= n) return;
  if (b->off) { memmove(b->p, b->p + b->off, b->len - b->off); b->len -= b->off; b->off = 0; if (b->cap - b->len >= n) return; }
  b->cap = (b->len + n) * 2; b->p = realloc(b->p, b->cap + 64);
}
static void put(buf *b, const void *p, size_t n) { need(b, n); memcpy(b->p + b->len, p, n); b->len += n; }
static void flushc(conn *c) {
  while (c->out.off < c->out.len) {
    size_t n = c->out.len - c->out.off; ssize_t r;
    if (c->ssl) { r = SSL_write(c->ssl, c->out.p + c->out.off, n > 1 << 20 ? 1 << 20 : n); if (r <= 0) { int e = SSL_get_error(c->ssl, r); if (e != 2 && e != 3) bad("ssl write"); return; } }
    else { r = write(c->fd, c->out.p + c->out.off, n); if (r < 0) { if (errno != EAGAIN) { bad("write"); c->out.off = c->out.len; } return; } }
    c->out.off += r;
  }
}
static void ws(conn *c, int op, const void *p, size_t n) { // masked client frame with a real (non-zero) mask
  if (raw) { put(&c->out, p, n); return; }
  u8 h[14]; int k; h[0] = 0x80 | op; static const u8 key[4] = {0x37, 0xfa, 0x21, 0x3d};
  if (n < 126) { h[1] = 0x80 | n; k = 2; } else if (n < 65536) { h[1] = 0xfe; h[2] = n >> 8; h[3] = n; k = 4; }
  else { h[1] = 0xff; for (int i = 0; i < 8; i++) h[2 + i] = n >> (56 - 8 * i); k = 10; }
  memcpy(h + k, key, 4); put(&c->out, h, k + 4); need(&c->out, n + 8);
  unsigned k4; memcpy(&k4, key, 4); u64 m = k4 | (u64)k4 << 32; u8 *o = c->out.p + c->out.len; const u8 *s = p; size_t i = 0;
  for (; i + 8 <= n; i += 8) { u64 v; memcpy(&v, s + i, 8); v ^= m; memcpy(o + i, &v, 8); }
  for (; i < n; i++) o[i] = s[i] ^ key[i & 3];
  c->out.len += n;
}
static void wss(conn *c, const char *s) { ws(c, proto == MQTT || proto == NATS ? 2 : 1, s, strlen(s)); }
static void hex(u8 *p, u64 v, int d) { while (d--) { p[d] = "0123456789abcdef"[v & 15]; v >>= 4; } }
static u64 unhex(const u8 *p, int d) { u64 v = 0; while (d--) { int c = *p++; v = v << 4 | (c <= '9' ? c - '0' : c - 'a' + 10); } return v; }
// payload: {\"s\":\"@@SEQ ssssssss tttttttttttttttt| base64 filler |ssssssss\"}   (S bytes, already JSON-string-escaped)
static void mktmpl(void) {
  tmpl = malloc(S + 64); memcpy(tmpl, "{\\\"s\\\":\\\"@@SEQ", 14);
  unsigned r = 12345; for (size_t i = 14; i < S; i++) { r = r * 1103515245 + 12345; tmpl[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[r >> 26]; }
  memcpy(tmpl + S - 3, "\\\"}", 3);
}
static void stamp(u64 seq, u64 t) { hex(tmpl + 14, seq, 8); hex(tmpl + 22, t, 16); hex(tmpl + S - 11, seq, 8); }
static void publish(conn *c, u64 t) { // one publish request of B events
  u8 *q = scratch; int h = 0;
  if (proto == AS) q += sprintf((char *)q, "%s\"channel\":\"/default/bench\",\"events\":[", c->kind == HTTP ? "{" : "{\"type\":\"publish\",\"id\":\"3f0c1d5e-7b0a-4c1e-9a44-0123456789ab\",");
  else if (proto == MQTT) { size_t n = S + 7 + (qos ? 2 : 0); *q++ = qos ? 0x32 : 0x30; do { *q++ = (n & 127) | (n > 127 ? 128 : 0); n >>= 7; } while (n); memcpy(q, "\0\5bench", 7); q += 7; if (qos) { *q++ = 1 + (sent % 60000 >> 8); *q++ = sent % 60000 | 1; } }
  else if (proto == NATS) q += sprintf((char *)q, "PUB bench %zu\r\n", S);
  else if (proto == REDIS) q += sprintf((char *)q, "*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n$%zu\r\n", S);
  else if (proto == SIO) q += sprintf((char *)q, "42[\"pub\",\"bench\",\"");
  for (int i = 0; i < B; i++) {
    stamp(sent++, t);
    if (proto == AS) { if (i) *q++ = ','; *q++ = '"'; }
    memcpy(q, tmpl, S); q += S; if (proto == AS) *q++ = '"';
  }
  if (proto == AS) q += sprintf((char *)q, c->kind == HTTP ? "]}" : "],\"authorization\":{\"host\":\"localhost\",\"x-api-key\":\"da2-0123456789\"}}");
  else if (proto == NATS || proto == REDIS) q += sprintf((char *)q, "\r\n"); else if (proto == SIO) q += sprintf((char *)q, "\"]");
  if (c->kind == HTTP) {
    char hd[300]; h = sprintf(hd, "POST %s HTTP/1.1\r\nHost: %s\r\nx-api-key: da2-0123456789\r\nContent-Type: application/json\r\nContent-Length: %ld\r\n\r\n", proto == NCHAN ? "/pub/bench" : "/event", httphost, (long)(q - scratch));
    put(&c->out, hd, h); put(&c->out, scratch, q - scratch); c->t0 = ns();
  } else { ws(c, proto == AS || proto == SIO || proto == NCHAN ? 1 : 2, scratch, q - scratch); treq[reqs % 65536] = t; }
  reqs++;
}
static void isready(conn *c) { c->st = READY; ready++; inshake--; }
static void subscribe(conn *c) {
  char b[400];
  if (proto == AS) { sprintf(b, "{\"type\":\"subscribe\",\"id\":\"a1b2c3d4-0000-4000-8000-%012d\",\"channel\":\"/default/bench\",\"authorization\":{\"host\":\"localhost\",\"x-api-key\":\"da2-0123456789\"}}", c->id); wss(c, b); }
  else if (proto == MQTT) ws(c, 2, "\x82\x0a\0\1\0\5bench\0", 12);
  else if (proto == SIO) wss(c, "42[\"sub\",\"bench\"]");
  c->st = WAIT;
}
static void data(conn *c, const u8 *p, size_t n) {
  const u8 *q = memmem(p, n < 400 ? n : 400, "@@SEQ", 5);
  if (!q || q - p < 9 || (size_t)(p + n - q) < S - 9) { bad("short or unmarked data"); return; }
  unsigned seq = unhex(q + 5, 8); u64 t = unhex(q + 13, 16);
  if (mode != HTTPM && seq != c->next) bad("sequence gap or reorder");
  c->next = seq + 1;
  if (memcmp(q - 9, tmpl, 14) || memcmp(q + 29, tmpl + 38, S - 38 - 11) || memcmp(q + 5, q - 9 + S - 11, 8) || memcmp(q - 9 + S - 3, "\\\"}", 3)) bad("payload mismatch");
  if (proto == AS && !memmem(p, n < 400 ? n : 400, c->idb, 12) && !memmem(p + n - 100, 100, c->idb, 12)) bad("wrong subscription id");
  deliv++; if (seq >= (u64)M) { bad("seq out of range"); return; }
  u64 d = ns() - t; if (++cnt[seq] > (unsigned)N) bad("duplicate"); if (seq >= warm) { hadd(&hd, d); if (cnt[seq] == (unsigned)N) hadd(&hl, d); }
}
static int has(const u8 *p, size_t n, const char *s) { return !!memmem(p, n < 300 ? n : 300, s, strlen(s)); }
static void ack(void) { if (acks * B >= warm) hadd(&hr, ns() - treq[acks % 65536]); acks++; }
static void msg(conn *c, const u8 *p, size_t n) { // one application message
  if (c->st == READY) {
    if (proto == SIO && n == 1 && *p == '2') { wss(c, "3"); return; }
    if (proto == AS && c->kind == PUB) { if (has(p, n, "publish_success")) ack(); else if (has(p, n, "error")) bad((char *)p); return; }
    if (proto == MQTT) { if (p[0] >> 4 == 3) data(c, p, n); else if (p[0] == 0x40) ack(); return; }
    if (c->kind == SUB) { if (n > 60) data(c, p, n); else if (!(proto == AS && has(p, n, "\"ka\""))) bad("odd short message"); } else ack();
    return;
  }
  int ok = proto == AS ? has(p, n, "connection_ack") : proto == MQTT ? p[0] == 0x20 : proto == SIO ? has(p, n, "40{") : 1;
  if (c->st == HELLO && ok) { if (c->kind == SUB) subscribe(c); else isready(c); return; }
  if (c->st == HELLO && proto == SIO && *p == '0') { wss(c, "40"); return; }
  if (c->st == WAIT && (proto == AS ? has(p, n, "subscribe_success") : proto == MQTT ? p[0] == 0x90 : has(p, n, "subok"))) { isready(c); return; }
  if (!has(p, n, "\"ka\"")) bad((char *)p);
}
static size_t stream(conn *c, const u8 *p, size_t n) { // MQTT / NATS / RESP byte streams: consume whole packets
  size_t o = 0;
  while (o < n) {
    const u8 *q = p + o; size_t r = n - o, k, l = 0;
    if (proto == MQTT) {
      int sh = 0; for (k = 1; k < r && k < 5; k++) { l |= (size_t)(q[k] & 127) << sh; sh += 7; if (!(q[k] & 128)) break; }
      if (k >= r || r < k + 1 + l) break;
      msg(c, q, k + 1 + l); o += k + 1 + l; continue;
    }
    const u8 *e = memmem(q, r < 4096 ? r : 4096, "\r\n", 2); if (!e) { if (r > 4096) bad("no line"); break; }
    k = e - q + 2;
    if (proto == NATS) {
      if (!memcmp(q, "MSG ", 4)) { const u8 *s = e; while (s[-1] != ' ') s--; l = strtoul((char *)s, 0, 10) + 2; if (r < k + l) break; data(c, q + k, l - 2); }
      else if (!memcmp(q, "PING", 4)) wss(c, "PONG\r\n"); else if (!memcmp(q, "PONG", 4)) { if (c->st != READY) isready(c); } else if (*q == '-') bad((char *)q);
    } else { // RESP
      if (*q == ':') { if (c->st == READY && c->kind == PUB) ack(); }
      else if (*q == '*') { int i; for (i = 0; i < 3; i++) { if (r <= k) break; if (q[k] == ':') { e = memmem(q + k, r - k, "\r\n", 2); if (!e) break; k = e - q + 2; continue; }
          e = memmem(q + k, r - k < 30 ? r - k : 30, "\r\n", 2); if (!e) break; size_t h = e - q + 2; l = strtoul((char *)q + k + 1, 0, 10) + 2; if (r < h + l) break; k = h + l; }
        if (i < 3) break;
        if (c->st == READY) data(c, q + k - l, l - 2); else isready(c); l = 0; }
      else bad((char *)q);
    }
    o += k + l;
  }
  return o;
}
static void appdata(conn *c, const u8 *p, size_t n, int finbit) {
  if (proto == MQTT || proto == NATS || proto == REDIS) {
    if (c->app.len == c->app.off) { size_t k = stream(c, p, n); if (k < n) put(&c->app, p + k, n - k); }
    else { put(&c->app, p, n); c->app.off += stream(c, c->app.p + c->app.off, c->app.len - c->app.off); }
  } else if (finbit && c->app.len == c->app.off) msg(c, p, n);
  else { put(&c->app, p, n); if (finbit) { msg(c, c->app.p + c->app.off, c->app.len - c->app.off); c->app.off = c->app.len; } }
}
static void hello(conn *c) {
  c->st = HELLO;
  if (proto == AS) wss(c, "{\"type\":\"connection_init\"}");
  else if (proto == MQTT) { u8 m[20] = {0x10, 16, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 4}; hex(m + 14, c->id, 4); ws(c, 2, m, 18); }
  else if (proto == NATS) { char b[200]; sprintf(b, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\"}\r\n%sPING\r\n", c->kind == SUB ? "SUB bench 1\r\n" : ""); wss(c, b); }
  else if (proto == NCHAN) isready(c);
  else if (proto == REDIS) { if (c->kind == SUB) put(&c->out, "SUBSCRIBE bench\r\n", 17); else isready(c); }
}
static void parse(conn *c) {
  while (c->in.len > c->in.off) {
    u8 *p = c->in.p + c->in.off; size_t n = c->in.len - c->in.off, l, h = 2;
    if (c->st == UP || c->kind == HTTP) {
      u8 *e = memmem(p, n, "\r\n\r\n", 4); if (!e) return;
      h = e - p + 4; l = 0;
      if (c->kind == HTTP) {
        u8 *q = memmem(p, h, "ontent-", 7); while (q && strncasecmp((char *)q, "ontent-length:", 14)) q = memmem(q + 1, h - (q + 1 - p), "ontent-", 7);
        if (q) l = strtoul((char *)q + 14, 0, 10); else bad("no content-length");
        if (n < h + l) return;
        if (memcmp(p, "HTTP/1.1 20", 11) || (proto == AS && !memmem(p + h, l, "successful", 10))) bad((char *)p);
        if (acks * B >= warm) hadd(&hr, ns() - c->t0);
        acks++; c->t0 = 0; c->in.off += h + l; continue;
      }
      if (memcmp(p, "HTTP/1.1 101", 12)) { bad((char *)p); return; }
      c->in.off += h; hello(c); continue;
    }
    if (raw) { appdata(c, p, n, 1); c->in.off += n; continue; }
    if (n < 2) return;
    l = p[1] & 127; if (l == 126) { if (n < 4) return; l = p[2] << 8 | p[3]; h = 4; }
    else if (l == 127) { if (n < 10) return; l = 0; for (int i = 2; i < 10; i++) l = l << 8 | p[i]; h = 10; }
    if (n < h + l) { if (l > 32768) need(&c->in, h + l - n); return; }
    c->in.off += h + l; int op = p[0] & 15; p += h;
    if (op == 8) bad("server closed"); else if (op == 9) ws(c, 10, p, l); else if (op < 3) appdata(c, p, l, p[-h] >> 7);
  }
}
static void readc(conn *c) {
  for (;;) {
    need(&c->in, 65536); size_t room = c->in.cap - c->in.len; ssize_t r;
    if (c->ssl) { r = SSL_read(c->ssl, c->in.p + c->in.len, room); if (r <= 0) { int e = SSL_get_error(c->ssl, r); if (e != 2 && e != 3) bad("ssl read"); break; } }
    else { r = read(c->fd, c->in.p + c->in.len, room); if (r < 0) { if (errno != EAGAIN) bad("read"); break; } if (!r) { if (!fin) bad("eof"); break; } }
    c->in.len += r; rxbytes += r; parse(c);
    if (!c->ssl && (size_t)r < room) break;
  }
  flushc(c);
}
static void dial(conn *c, int kind, int id) {
  memset(c, 0, sizeof *c); c->kind = kind; c->id = id; sprintf(c->idb, "%012d", id); c->fd = socket(AF_INET, SOCK_STREAM, 0); int one = 1; inshake++;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)}; inet_pton(AF_INET, host, &a.sin_addr);
  struct linger lg = {1, 0}; setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg); setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, 4);
  if (connect(c->fd, (void *)&a, sizeof a)) { perror("connect"); exit(2); }
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  if (tls) { c->ssl = SSL_new(sctx); SSL_set_fd(c->ssl, c->fd); SSL_set_connect_state(c->ssl); }
  if (kind == HTTP) isready(c); else if (raw) hello(c);
  else {
    char b[600]; const char *path = proto == AS ? "/event/realtime" : proto == MQTT ? "/mqtt" : proto == SIO ? "/socket.io/?EIO=4&transport=websocket" : proto == NCHAN ? (kind == SUB ? "/sub/bench" : "/pubws/bench") : "/";
    int n = sprintf(b, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", path, wshost, port,
      proto == AS ? "Sec-WebSocket-Protocol: aws-appsync-event-ws, header-eyJob3N0IjoibG9jYWxob3N0IiwieC1hcGkta2V5IjoiZGEyLTAxMjM0NTY3ODkifQ\r\n" : proto == MQTT ? "Sec-WebSocket-Protocol: mqtt\r\n" : "");
    put(&c->out, b, n);
  }
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c}; epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e); flushc(c);
}
static struct epoll_event evs[1024]; static u64 deadline;
static void poll1(int ms) {
  u64 a = ns(); int n = epoll_wait(ep, evs, 1024, ms); if (!n && !ms) idle += ns() - a;
  for (int i = 0; i < n; i++) { conn *c = evs[i].data.ptr; if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readc(c); else if (evs[i].events & EPOLLOUT) { if (c->ssl) readc(c); else flushc(c); } }
  if (a > deadline) { bad("time limit"); fin = 1; }
}
static double cpu(void) { // server CPU seconds over all threads of all pids
  double s = 0; char b[300], pl[200]; snprintf(pl, 200, "%s", pids);
  for (char *sv, *t = strtok_r(pl, ",", &sv); t; t = strtok_r(0, ",", &sv)) { sprintf(b, "/proc/%s/task", t); DIR *d = opendir(b); struct dirent *x; if (!d) continue;
    while ((x = readdir(d))) if (*x->d_name != '.') { snprintf(b, 300, "/proc/%s/task/%s/schedstat", t, x->d_name); FILE *f = fopen(b, "r"); u64 v = 0; if (f) { if (fscanf(f, "%llu", &v)) s += v / 1e9; fclose(f); } }
    closedir(d); }
  return s;
}
static double rss(void) { double s = 0; char b[300], pl[200]; snprintf(pl, 200, "%s", pids);
  for (char *sv, *t = strtok_r(pl, ",", &sv); t; t = strtok_r(0, ",", &sv)) { sprintf(b, "/proc/%s/status", t); FILE *f = fopen(b, "r"); if (!f) continue; while (fgets(b, 300, f)) if (!strncmp(b, "VmRSS:", 6)) s += atof(b + 6); fclose(f); }
  return s; }
static double self(void) { struct rusage r; getrusage(RUSAGE_SELF, &r); return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6; }
int main(int ac, char **av) {
  int o, http = 0; double wf = 0.1;
  while ((o = getopt(ac, av, "p:m:P:Tn:M:s:w:r:k:b:x:t:c:q:Hh:W:R")) > 0) switch (o) {
    case 'p': for (int i = 0; i < 6; i++) if (!strcmp(optarg, pnames[i])) proto = i; break;
    case 'm': for (int i = 0; i < 4; i++) if (!strcmp(optarg, mnames[i])) mode = i; break;
    case 'P': port = atoi(optarg); break; case 'T': tls = 1; break; case 'n': N = atoi(optarg); break; case 'M': M = atol(optarg); break;
    case 's': S = atol(optarg); break; case 'w': W = atoi(optarg); break; case 'r': rate = atof(optarg); break; case 'k': K = atoi(optarg); break; case 'W': wf = atof(optarg); break;
    case 'b': B = atoi(optarg); break; case 'x': pids = optarg; break; case 't': tmax = atof(optarg); break; case 'c': CC = atoi(optarg); break; case 'q': qos = atoi(optarg); break; case 'H': http = 1; break; case 'R': raw = 1; break; case 'h': host = optarg; break; }
  if (S < 60) S = 60;
  if (getenv("LG_WSHOST")) wshost = getenv("LG_WSHOST"); if (getenv("LG_HTTPHOST")) httphost = getenv("LG_HTTPHOST");
  if (proto == REDIS) raw = 1;
  mktmpl(); scratch = malloc((S + 8) * B + 1000); cnt = calloc(M + 8, 4); treq = calloc(65536, 8); ep = epoll_create1(0);
  if (tls) { sctx = SSL_CTX_new(TLS_client_method()); SSL_CTX_set_mode(sctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER); SSL_CTX_set_session_cache_mode(sctx, 0); }
  int np = mode == HTTPM ? K : mode == CONN ? 0 : 1, total = N + np; cs = calloc(total, sizeof *cs); deadline = ns() + tmax * 1e9;
  double rss0 = rss(), c0 = cpu(), g0; u64 t0 = ns();
  for (int i = 0; i < total && !fin; i++) { dial(&cs[i], i < N ? SUB : (mode == HTTPM || http) ? HTTP : PUB, i); while ((inshake >= CC || (i == total - 1 && inshake)) && !fin && !errs) poll1(100); if (errs) fin = 1; }
  double tconn = (ns() - t0) / 1e9, ccpu = cpu() - c0;
  if (mode == CONN) {
    u64 te = ns() + 300000000; while (ns() < te && !errs) poll1(50);
    printf("{\"mode\":\"conn\",\"proto\":\"%s\",\"tls\":%d,\"n\":%d,\"ready\":%d,\"err\":%llu,\"conn_per_s\":%.0f,\"cpu_ms_per_conn\":%.4f,\"rss_kb_per_conn\":%.2f,\"rss0_kb\":%.0f,\"e\":\"%s\"}\n", pnames[proto], tls, N, ready, errs, N / tconn, 1e3 * ccpu / N, (rss() - rss0) / N, rss0, errs ? "see stderr" : "");
    if (errs) fprintf(stderr, "lg: %s\n", firsterr);
    return errs > 0;
  }
  if (!fin) { u64 te = ns() + 100000000; while (ns() < te) poll1(20); }
  warm = wf * M; conn *pub = &cs[N]; double iv = 1e9 * B / rate; int wantack = (proto == AS || proto == REDIS || proto == NCHAN || qos) || pub->kind == HTTP;
  idle = 0; c0 = cpu(); g0 = self(); t0 = ns() + (mode == RATE ? 1000000 : 0);
  while (!fin && !errs) {
    if (mode == FAN) { while (sent < (u64)M && (N ? sent * N - deliv < (u64)W * N : reqs - acks < (u64)W) && (!wantack || reqs - acks < 60000) && pub->out.len - pub->out.off < 1 << 20) publish(pub, ns()); flushc(pub); }
    else if (mode == RATE) { while (sent < (u64)M && ns() >= t0 + reqs * iv) { if (pub->kind == HTTP && pub->t0) break; publish(pub, t0 + reqs * iv); flushc(pub); } }
    else for (int i = 0; i < K; i++) if (!cs[N + i].t0 && sent < (u64)M) { publish(&cs[N + i], ns()); flushc(&cs[N + i]); }
    if (sent >= (u64)M && deliv >= sent * N && (!wantack || acks == reqs)) break;
    poll1(0);
  }
  double dt = (ns() - t0) / 1e9, sc = cpu() - c0, gc = self() - g0;
  u64 d0 = deliv, te = ns() + 50000000; while (ns() < te && !errs) poll1(10);
  if (deliv != d0) bad("extra deliveries");
  printf("{\"mode\":\"%s\",\"proto\":\"%s\",\"tls\":%d,\"http\":%d,\"n\":%d,\"size\":%zu,\"b\":%d,\"w\":%d,\"k\":%d,\"msgs\":%llu,\"deliv\":%llu,\"acks\":%llu,\"err\":%llu,\"secs\":%.4f,\"dps\":%.0f,\"pps\":%.0f,\"MBps\":%.1f,"
    "\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,\"last50\":%.1f,\"last99\":%.1f,\"rtt50\":%.1f,\"rtt99\":%.1f,\"rtt999\":%.1f,\"srv_cpu\":%.4f,\"gen_cpu\":%.4f,\"gen_idle\":%.3f,\"rss_kb\":%.0f,\"e\":\"%s\"}\n",
    mnames[mode], pnames[proto], tls, http, N, S, B, W, K, sent, deliv, acks, errs, dt, deliv / dt, sent / dt, rxbytes / dt / 1e6, hq(&hd, .5), hq(&hd, .99), hq(&hd, .999), hd.max / 1e3, hq(&hl, .5), hq(&hl, .99), hq(&hr, .5), hq(&hr, .99), hq(&hr, .999), sc, gc, idle / 1e9 / dt, rss(), errs ? "see stderr" : "");
  if (errs) fprintf(stderr, "lg: %llu errors, first: %s (sent %llu deliv %llu acks %llu ready %d)\n", errs, firsterr, sent, deliv, acks, ready);
  return errs > 0;
}
