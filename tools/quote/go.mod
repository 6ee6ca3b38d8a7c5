module github.com/strata-grpc/strata/tools/quote

go 1.26.0
