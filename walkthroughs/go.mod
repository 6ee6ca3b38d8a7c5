module github.com/strata-grpc/strata/walkthroughs

go 1.26.0

require (
	github.com/strata-grpc/strata v0.0.0
	google.golang.org/protobuf v1.36.12
)

replace github.com/strata-grpc/strata => ../
