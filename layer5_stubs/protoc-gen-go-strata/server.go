package main

import "google.golang.org/protobuf/compiler/protogen"

// server writes the server's side of a service: what users implement and register.
func (g *file) server(svc *protogen.Service) {
	g.serverInterface(svc)
	g.unimplemented(svc)
	g.unsafeServer(svc)
	g.register(svc)
	for _, m := range svc.Methods {
		if isUnary(m) {
			g.unaryHandler(m)
		} else {
			g.streamHandler(m)
			g.streamAlias(m, "Server")
		}
	}
}

// serverInterface writes what an implementation must have.
func (g *file) serverInterface(svc *protogen.Service) {
	iface := svc.GoName + "Server"
	verb := "should"
	if g.cfg.requireUnimplemented {
		verb = "must" // the interface has a method that only embedding provides
	}
	g.P("// ", iface, " implements the methods of ", svc.Desc.FullName(), ".")
	g.P("// Implementations ", verb, " embed Unimplemented", iface, ", so that they still build")
	g.P("// when the service gains a method.")
	g.docComment(svc.Comments.Leading, serviceDeprecated(svc))
	g.P("type ", iface, " interface {")
	for _, m := range svc.Methods {
		g.comment(m.Comments.Leading, methodDeprecated(m))
		g.P(g.serverSignature(m))
	}
	if g.cfg.requireUnimplemented {
		g.P("mustEmbedUnimplemented", iface, "()")
	}
	g.P("}")
	g.P()
}

// serverSignature returns m's name, parameters and results in the server.
func (g *file) serverSignature(m *protogen.Method) string {
	if isUnary(m) {
		return m.GoName + "(" + g.context() + ", *" + g.input(m) + ") (*" + g.output(m) + ", error)"
	}
	var request string
	if !m.Desc.IsStreamingClient() {
		request = "*" + g.input(m) + ", "
	}
	return m.GoName + "(" + request + g.streamType(m, "Server") + ") error"
}

// unimplemented writes the type to embed. Its methods have value receivers, so
// that a nil pointer to it fails in testEmbeddedByValue, at registration.
func (g *file) unimplemented(svc *protogen.Service) {
	iface := svc.GoName + "Server"
	t := "Unimplemented" + iface
	g.P("// ", t, " answers every method with UNIMPLEMENTED.")
	g.P("// Embed it by value: through a nil pointer its methods would panic.")
	g.P("type ", t, " struct{}")
	g.P()
	for _, m := range svc.Methods {
		g.P("func (", t, ") ", g.serverSignature(m), " {")
		if isUnary(m) {
			g.P("return nil, ", g.stubs("Unimplemented"), "(", quoted(m.GoName), ")")
		} else {
			g.P("return ", g.stubs("Unimplemented"), "(", quoted(m.GoName), ")")
		}
		g.P("}")
	}
	if g.cfg.requireUnimplemented {
		g.P("func (", t, ") mustEmbed", t, "() {}")
	}
	g.P("func (", t, ") testEmbeddedByValue() {}")
	g.P()
}

// unsafeServer writes the other type to embed. It satisfies the marker method
// and implements nothing, so that a missing method is a build error.
func (g *file) unsafeServer(svc *protogen.Service) {
	iface := svc.GoName + "Server"
	g.P("// Unsafe", iface, " may be embedded to opt out of forward compatibility: the")
	g.P("// build then fails when the service gains a method.")
	g.P("type Unsafe", iface, " interface {")
	g.P("mustEmbedUnimplemented", iface, "()")
	g.P("}")
	g.P()
}

// register writes the function that connects an implementation to a server.
// Its parameter type makes a missing method a build error at the call.
func (g *file) register(svc *protogen.Service) {
	iface := svc.GoName + "Server"
	g.P("// Register", iface, " makes s serve ", svc.Desc.FullName(), " with srv.")
	if serviceDeprecated(svc) {
		g.docComment("", true)
	}
	g.P("func Register", iface, "(s ", g.stubs("ServiceRegistrar"), ", srv ", iface, ") {")
	g.P("// Panics when srv embeds a nil *Unimplemented", iface, ": better now than in the")
	g.P("// first call of a method that srv lacks.")
	g.P("if t, ok := srv.(interface{ testEmbeddedByValue() }); ok {")
	g.P("t.testEmbeddedByValue()")
	g.P("}")
	g.P("s.RegisterService(&", descName(svc), ", srv)")
	g.P("}")
	g.P()
}

// unaryHandler writes the function that decodes one request and calls the
// implementation. Without an interceptor it allocates the request, no more.
func (g *file) unaryHandler(m *protogen.Method) {
	iface := m.Parent.GoName + "Server"
	g.P("func ", handlerName(m), "(srv any, ctx ", g.context(), ", dec func(any) error, interceptor ", g.stubs("UnaryServerInterceptor"), ") (any, error) {")
	g.P("in := new(", g.input(m), ")")
	g.P("if err := dec(in); err != nil {")
	g.P("return nil, err")
	g.P("}")
	g.P("if interceptor == nil {")
	g.P("return srv.(", iface, ").", m.GoName, "(ctx, in)")
	g.P("}")
	g.P("info := &", g.stubs("UnaryServerInfo"), "{Server: srv, FullMethod: ", fullMethodName(m), "}")
	g.P("handler := func(ctx ", g.context(), ", req any) (any, error) {")
	g.P("return srv.(", iface, ").", m.GoName, "(ctx, req.(*", g.input(m), "))")
	g.P("}")
	g.P("return interceptor(ctx, in, info, handler)")
	g.P("}")
	g.P()
}

// streamHandler writes the function that gives the implementation a typed stream.
func (g *file) streamHandler(m *protogen.Method) {
	stream := "&" + g.stubs("GenericServerStream") + "[" + g.input(m) + ", " + g.output(m) + "]{ServerStream: stream}"
	g.P("func ", handlerName(m), "(srv any, stream ", g.stubs("ServerStream"), ") error {")
	if m.Desc.IsStreamingClient() {
		g.P("return srv.(", m.Parent.GoName, "Server).", m.GoName, "(", stream, ")")
	} else {
		g.P("in := new(", g.input(m), ")")
		g.P("if err := stream.RecvMsg(in); err != nil {")
		g.P("return err")
		g.P("}")
		g.P("return srv.(", m.Parent.GoName, "Server).", m.GoName, "(in, ", stream, ")")
	}
	g.P("}")
	g.P()
}
