// Package credentials secures connections.
//
// [NewInsecure] is plain text, [NewTLS] is TLS with ALPN "h2".
//
// # Contract
//
//   - A handshake gets a connection that carries nothing yet and returns the
//     one to be used from then on, with what it found out about the peer.
//   - It ends when its context does. The caller closes the connection after an
//     error; a TLS handshake that its context ended has closed it already.
//   - An error names the peer and the rule, never a key or a certificate.
//   - Not here: credentials of a single call, such as tokens.
//
// # Reading order
//
// credentials.go, tls.go.
package credentials
