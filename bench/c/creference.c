// creference.c - C/epoll reference for the AppSync-Events subset: the "physical limit" the Python relays are compared with.
// gcc -O2 -march=native creference.c -lssl -lcrypto ; usage: creference PORT [cert key] ; env COALESCE=0 sends every event with its own syscall
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/sha.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>
typedef unsigned char u8;
typedef struct { size_t off, len, cap; u8 *p; } buf;
typedef struct conn { int fd, ws, dead; SSL *ssl; buf in, out; char pre[128]; int npre, idx; } conn;
typedef struct { char name[64]; conn **s; int n, cap; } chan;
static chan chans[256]; static int nchan; static SSL_CTX *sctx; static int coalesce = 1;
static u8 *work; static size_t wcap;
static void need(buf *b, size_t n) {
  if (b->off == b->len) b->off = b->len = 0;
  if (b->cap - b->len >= n) return;
  if (b->off) { memmove(b->p, b->p + b->off, b->len - b->off); b->len -= b->off; b->off = 0; if (b->cap - b->len >= n) return; }
  b->cap = (b->len + n) * 2; b->p = realloc(b->p, b->cap);
}
static void put(buf *b, const void *p, size_t n) { need(b, n); memcpy(b->p + b->len, p, n); b->len += n; }
static void flushc(conn *c) {
  while (c->out.off < c->out.len) {
    size_t n = c->out.len - c->out.off; ssize_t r;
    if (c->ssl) { r = SSL_write(c->ssl, c->out.p + c->out.off, n > 1 << 24 ? 1 << 24 : n); if (r <= 0) return; }
    else { r = write(c->fd, c->out.p + c->out.off, n); if (r < 0) { if (errno != EAGAIN) { c->dead = 1; c->out.off = c->out.len; } return; } }
    c->out.off += r;
  }
  if (c->out.cap > 1 << 17) { free(c->out.p); memset(&c->out, 0, sizeof c->out); }
}
static void vec(conn *c, struct iovec *v, int n, size_t tot) { // write now if nothing is queued, else queue
  if (!c->ssl && c->out.off == c->out.len && !c->dead) {
    ssize_t r = n == 1 ? write(c->fd, v->iov_base, v->iov_len) : writev(c->fd, v, n);
    if (r == (ssize_t)tot) return;
    if (r < 0) { if (errno != EAGAIN) { c->dead = 1; return; } r = 0; }
    for (int i = 0; i < n; i++) { if ((size_t)r >= v[i].iov_len) { r -= v[i].iov_len; continue; } put(&c->out, (u8 *)v[i].iov_base + r, v[i].iov_len - r); r = 0; }
  } else { for (int i = 0; i < n; i++) put(&c->out, v[i].iov_base, v[i].iov_len); flushc(c); }
}
static int hdr(u8 *h, size_t n, int op) {
  h[0] = 0x80 | op; if (n < 126) { h[1] = n; return 2; }
  if (n < 65536) { h[1] = 126; h[2] = n >> 8; h[3] = n; return 4; }
  h[1] = 127; for (int i = 0; i < 8; i++) h[2 + i] = n >> (56 - 8 * i); return 10;
}
static void wstext(conn *c, const char *s, size_t n) { u8 h[10]; int k = hdr(h, n, 1); put(&c->out, h, k); put(&c->out, s, n); }
static chan *getchan(const char *s, size_t n) { // small linear table is enough for the reference
  for (int i = 0; i < nchan; i++) if (!strncmp(chans[i].name, s, n) && !chans[i].name[n]) return &chans[i];
  if (nchan == 256 || n > 63) return &chans[0]; memcpy(chans[nchan].name, s, n); return &chans[nchan++];
}
typedef struct { const u8 *p; size_t n; } slice;
static slice pend[8192]; static int npend; static chan *pch;
static void fan(void) { // deliver the pending slices (raw JSON strings incl. quotes) to every subscriber of pch
  if (!npend) return;
  static struct iovec v[1024]; static u8 hb[400][12];
  for (int i = 0; i < pch->n; i++) {
    conn *c = pch->s[i]; int j = 0;
    while (j < npend) {
      if (pend[j].n > 8192) { int k = 0, h = 0; size_t tot = 0;
        for (; j < npend && h < 200 && tot < 4 << 20; j++) { size_t L = c->npre + pend[j].n + 1; int hn = hdr(hb[h], L, 1);
          v[k++] = (struct iovec){hb[h++], hn}; v[k++] = (struct iovec){c->pre, c->npre}; v[k++] = (struct iovec){(void *)pend[j].p, pend[j].n}; v[k++] = (struct iovec){"}", 1}; tot += hn + L; }
        vec(c, v, k, tot);
      } else { size_t o = 0;
        for (; j < npend && pend[j].n <= 8192 && o + pend[j].n + 256 < wcap; j++) { o += hdr(work + o, c->npre + pend[j].n + 1, 1); memcpy(work + o, c->pre, c->npre); o += c->npre; memcpy(work + o, pend[j].p, pend[j].n); o += pend[j].n; work[o++] = '}'; }
        struct iovec one = {work, o}; vec(c, &one, 1, o);
      }
    }
  }
  npend = 0;
}
static const u8 *str(const u8 *p, const u8 *e) { // p at opening quote -> after closing quote
  for (p++; p < e; p++) { p = memchr(p, '"', e - p); if (!p) return 0; int b = 0; while (p[-1 - b] == '\\') b++; if (!(b & 1)) return p + 1; }
  return 0;
}
static int events(const u8 *p, size_t n) { // parse channel + events, queue slices
  const u8 *e = p + n, *q = memmem(p, n < 300 ? n : 300, "\"channel\":\"", 11), *r = memmem(p, n < 400 ? n : 400, "\"events\":[", 10); if (!q || !r) return -1;
  q += 11; const u8 *qe = memchr(q, '"', e - q); chan *ch = getchan((char *)q, qe - q); if (ch != pch) { fan(); pch = ch; }
  int k = 0; for (r += 10; r < e && *r == '"';) { const u8 *x = str(r, e); if (!x) return -1; if (npend == 8192) fan(); pend[npend++] = (slice){r, x - r}; k++; r = x; if (*r == ',') r++; }
  if (!coalesce) fan();
  return k;
}
static int okbody(char *b, int k, const char *pre) { int n = sprintf(b, "{%s\"failed\":[],\"successful\":[", pre); static unsigned long uid; for (int i = 0; i < k; i++) n += sprintf(b + n, "%s{\"identifier\":\"00000000-0000-4000-8000-%012lu\",\"index\":%d}", i ? "," : "", uid++, i); return n + sprintf(b + n, "]}"); }
static void field(const u8 *p, size_t n, const char *k, char *o, int cap) { const u8 *q = memmem(p, n < 600 ? n : 600, k, strlen(k)); *o = 0; if (!q) return; q += strlen(k); int i = 0; while (q < p + n && *q != '"' && i < cap - 1) o[i++] = *q++; o[i] = 0; }
static void wsmsg(conn *c, const u8 *p, size_t n) {
  char id[64], b[1500], pre[120], ch[64]; size_t m = n < 300 ? n : 300;
  if (memmem(p, m, "\"publish\"", 9)) { field(p, n, "\"id\":\"", id, 64); int k = events(p, n); sprintf(pre, "\"type\":\"publish_success\",\"id\":\"%s\",", id); wstext(c, b, okbody(b, k, pre)); }
  else if (memmem(p, m, "\"connection_init\"", 17)) wstext(c, "{\"type\":\"connection_ack\",\"connectionTimeoutMs\":300000}", 54);
  else if (memmem(p, m, "\"subscribe\"", 11)) {
    field(p, n, "\"id\":\"", id, 64); field(p, n, "\"channel\":\"", ch, 64); chan *h = getchan(ch, strlen(ch));
    if (h->n == h->cap) { h->cap = h->cap * 2 + 64; h->s = realloc(h->s, h->cap * sizeof *h->s); } h->s[h->n++] = c;
    c->npre = sprintf(c->pre, "{\"id\":\"%s\",\"type\":\"data\",\"event\":", id); wstext(c, b, sprintf(b, "{\"type\":\"subscribe_success\",\"id\":\"%s\"}", id));
  }
}
static void http(conn *c, u8 *p, size_t h, size_t l) {
  char b[2000], o[2400];
  if (!memcmp(p, "POST", 4)) { int k = events(p + h, l); int n = okbody(b, k, ""); put(&c->out, o, sprintf(o, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n, b)); return; }
  u8 *q = memmem(p, h, "Sec-WebSocket-Key: ", 19); if (!q) { c->dead = 1; return; } u8 *e = memchr(q + 19, '\r', 100), sha[20], acc[40]; int n = sprintf(b, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)(e - q - 19), q + 19);
  SHA1((u8 *)b, n, sha); EVP_EncodeBlock(acc, sha, 20);
  put(&c->out, o, sprintf(o, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: aws-appsync-event-ws\r\n\r\n", acc)); c->ws = 1;
}
static void parse(conn *c) {
  while (c->in.len > c->in.off) {
    u8 *p = c->in.p + c->in.off; size_t n = c->in.len - c->in.off, l = 0, h = 2;
    if (!c->ws) { u8 *e = memmem(p, n, "\r\n\r\n", 4); if (!e) break; h = e - p + 4; u8 *q = memmem(p, h, "Content-Length: ", 16); if (q) l = strtoul((char *)q + 16, 0, 10); if (n < h + l) { need(&c->in, h + l - n); break; } c->in.off += h + l; http(c, p, h, l); continue; }
    if (n < 2) break; l = p[1] & 127; if (l == 126) { if (n < 4) break; l = p[2] << 8 | p[3]; h = 4; } else if (l == 127) { if (n < 10) break; l = 0; for (int i = 2; i < 10; i++) l = l << 8 | p[i]; h = 10; }
    h += 4; if (n < h + l) { if (l > 32768) { fan(); need(&c->in, h + l - n); } break; } c->in.off += h + l;
    unsigned k; memcpy(&k, p + h - 4, 4); u8 *d = p + h; size_t i = 0; for (; i + 4 <= l; i += 4) { unsigned v; memcpy(&v, d + i, 4); v ^= k; memcpy(d + i, &v, 4); } for (; i < l; i++) d[i] ^= ((u8 *)&k)[i & 3];
    int op = p[0] & 15; if (op == 1 || op == 2) wsmsg(c, d, l); else if (op == 8) c->dead = 1;
  }
  fan(); flushc(c);
}
static void drop(conn *c) {
  for (int i = 0; i < nchan; i++) for (int j = 0; j < chans[i].n; j++) if (chans[i].s[j] == c) chans[i].s[j--] = chans[i].s[--chans[i].n];
  if (c->ssl) SSL_free(c->ssl); close(c->fd); free(c->in.p); free(c->out.p); free(c);
}
int main(int ac, char **av) {
  signal(SIGPIPE, SIG_IGN); if (getenv("COALESCE")) coalesce = atoi(getenv("COALESCE")); wcap = 1 << 18; work = malloc(wcap);
  if (ac > 3) { sctx = SSL_CTX_new(TLS_server_method()); SSL_CTX_set_mode(sctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS); if (SSL_CTX_use_certificate_chain_file(sctx, av[2]) != 1 || SSL_CTX_use_PrivateKey_file(sctx, av[3], 1) != 1) return 1; }
  int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1; setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, 4);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(av[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) { perror("bind"); return 1; }
  int ep = epoll_create1(0); struct epoll_event e = {.events = EPOLLIN}, ev[512]; epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
  for (;;) {
    int n = epoll_wait(ep, ev, 512, -1);
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr;
      if (!c) { int fd; while ((fd = accept4(ls, 0, 0, SOCK_NONBLOCK)) >= 0) { setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, 4); c = calloc(1, sizeof *c); c->fd = fd; if (sctx) { c->ssl = SSL_new(sctx); SSL_set_fd(c->ssl, fd); SSL_set_accept_state(c->ssl); } e.events = EPOLLIN | EPOLLOUT | EPOLLET; e.data.ptr = c; epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e); } continue; }
      if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR | (c->ssl ? EPOLLOUT : 0))) for (;;) {
        need(&c->in, c->ssl ? 16384 : c->in.len > c->in.off ? 1 : 65536); size_t room = c->in.cap - c->in.len; ssize_t r;
        if (c->ssl) { r = SSL_read(c->ssl, c->in.p + c->in.len, room); if (r <= 0) { int x = SSL_get_error(c->ssl, r); if (x != 2 && x != 3) c->dead = 1; break; } }
        else { r = read(c->fd, c->in.p + c->in.len, room); if (r <= 0) { if (r == 0 || errno != EAGAIN) c->dead = 1; break; } }
        c->in.len += r; if (c->ssl && c->in.len - c->in.off < 1 << 18) continue; parse(c); if (c->dead || (!c->ssl && (size_t)r < room)) break;
      }
      if (c->ssl && !c->dead) parse(c);
      if (!c->dead && c->in.off == c->in.len && c->in.p && c->npre) { free(c->in.p); memset(&c->in, 0, sizeof c->in); }
      if (!c->dead) flushc(c);
      if (c->dead) drop(c);
    }
  }
}
