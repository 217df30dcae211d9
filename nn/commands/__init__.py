"""What can be done from a shell?

`cryptonets COMMAND`, or `python -m nn COMMAND`.

Modules, in the order of reading:

    options    what commands ask for in the same words
    tables     own tables and pictures: learning, reading, answers
    planning   plan
    eavesdrop  what somebody without the key sees
    roles      keygen, encrypt, infer, decrypt, eavesdrop
    service    serve, ask, draw
    main       demo, mnist, train, bench, and all others

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes, yashe.wire,
networks, data, training, planning, inference, cluster, experiment, service, drawing, estimators,
bench.
"""
