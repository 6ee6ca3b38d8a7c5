module github.com/strata-grpc/strata/tools/testsum

go 1.26.0
