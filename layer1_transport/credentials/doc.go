// Package credentials secures connections.
//
// [NewInsecure] is plain text, [NewTLS] is TLS with ALPN "h2", and
// [NewReloadingTLS] is that with certificates from files that change.
// [NewBearerToken] is a token that goes out with each call.
//
// # Contract
//
//   - A handshake gets a connection that carries nothing yet and returns the
//     one to be used from then on, with what it found out about the peer.
//   - It ends when its context does. The caller closes the connection after an
//     error; a TLS handshake that its context ended has closed it already.
//   - An error names the peer and the rule, never a key, a certificate, or
//     where a key is kept.
//   - What a handshake found out says how safe the connection is ([LevelOf])
//     and whom the peer may speak for ([AuthorityValidator]). Where it does not
//     say, the connection is as unsafe as plain text.
//   - Credentials of a single call ([PerRPCCredentials]) that are secrets go
//     out on no connection that [CheckPerRPC] refuses.
//   - Not here: asking the credentials of a call for their fields, which may
//     take its time and is a filter's business (client_auth in layer 2).
//
// # Goroutines and locks
//
// None. Files are looked at by the handshake that finds it is time to.
//
// # Reading order
//
// credentials.go, security.go, tls.go, pemfile.go, reload.go, perrpc.go,
// requestinfo.go, bearer.go.
package credentials
