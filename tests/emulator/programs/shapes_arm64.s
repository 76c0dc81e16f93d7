// What compilers do not write: rare unwind codes, in functions that the emulator can run.
// x0 and x1 are the arguments of every exported function.
    .text
    .globl asm_halt
    .p2align 2
asm_halt:
    brk #0xf000

// The stack probe: x15 is the size in units of 16 bytes, and nothing changes.
    .globl __chkstk
    .p2align 2
__chkstk:
    ret

    .def asm_note
    .scl 2
    .type 32
    .endef
    .globl asm_note
    .p2align 2
asm_note:
    add x0, x0, x1
    mov x9, #77
    ret

    .globl asm_save_next
    .p2align 2
asm_save_next:
    .seh_proc asm_save_next
    stp x19, x20, [sp, #-112]!
    .seh_save_r19r20_x 112
    stp x21, x22, [sp, #16]
    .seh_save_next
    stp x23, x24, [sp, #32]
    .seh_save_next
    stp x25, x26, [sp, #48]
    .seh_save_next
    stp x27, x28, [sp, #64]
    .seh_save_next
    stp d8, d9, [sp, #80]
    .seh_save_next
    stp x29, x30, [sp, #96]
    .seh_save_fplr 96
    add x29, sp, #96
    .seh_add_fp 96
    .seh_endprologue
    mov x19, #1
    mov x22, #2
    mov x24, #3
    mov x27, #4
    fmov d8, #1.0
    fmov d9, #2.0
    bl asm_note
    .seh_startepilogue
    sub sp, x29, #96
    .seh_add_fp 96
    ldp x29, x30, [sp, #96]
    .seh_save_fplr 96
    ldp d8, d9, [sp, #80]
    .seh_save_next
    ldp x27, x28, [sp, #64]
    .seh_save_next
    ldp x25, x26, [sp, #48]
    .seh_save_next
    ldp x23, x24, [sp, #32]
    .seh_save_next
    ldp x21, x22, [sp, #16]
    .seh_save_next
    ldp x19, x20, [sp], #112
    .seh_save_r19r20_x 112
    .seh_endepilogue
    ret
    .seh_endproc

    .globl asm_any_reg
    .p2align 2
asm_any_reg:
    .seh_proc asm_any_reg
    stp q8, q9, [sp, #-96]!
    .seh_save_any_reg_px q8, 96
    stp x29, x30, [sp, #32]
    .seh_save_any_reg_p x29, 32
    str x19, [sp, #48]
    .seh_save_any_reg x19, 48
    str d10, [sp, #56]
    .seh_save_any_reg d10, 56
    str q11, [sp, #64]
    .seh_save_any_reg q11, 64
    stp x20, x21, [sp, #80]
    .seh_save_any_reg_p x20, 80
    str x22, [sp, #-16]!
    .seh_save_any_reg_x x22, 16
    .seh_endprologue
    mov x19, #11
    mov x20, #12
    mov x22, #13
    fmov d8, #3.0
    fmov d10, #4.0
    fmov d11, #5.0
    bl asm_note
    .seh_startepilogue
    ldr x22, [sp], #16
    .seh_save_any_reg_x x22, 16
    ldp x20, x21, [sp, #80]
    .seh_save_any_reg_p x20, 80
    ldr q11, [sp, #64]
    .seh_save_any_reg q11, 64
    ldr d10, [sp, #56]
    .seh_save_any_reg d10, 56
    ldr x19, [sp, #48]
    .seh_save_any_reg x19, 48
    ldp x29, x30, [sp, #32]
    .seh_save_any_reg_p x29, 32
    ldp q8, q9, [sp], #96
    .seh_save_any_reg_px q8, 96
    .seh_endepilogue
    ret
    .seh_endproc

    .globl asm_singles
    .p2align 2
asm_singles:
    .seh_proc asm_singles
    sub sp, sp, #0x100, lsl #12
    .seh_stackalloc 0x100000
    str x19, [sp, #-32]!
    .seh_save_reg_x x19, 32
    str d9, [sp, #-16]!
    .seh_save_freg_x d9, 16
    str d8, [sp, #8]
    .seh_save_freg d8, 8
    stp x21, x30, [sp, #32]
    .seh_save_lrpair x21, 32
    stp d10, d11, [sp, #-32]!
    .seh_save_fregp_x d10, 32
    nop
    .seh_nop
    .seh_endprologue
    mov x19, #21
    mov x21, #22
    fmov d8, #6.0
    fmov d9, #7.0
    fmov d11, #8.0
    bl asm_note
    cbz x0, 1f
    .seh_startepilogue
    nop
    .seh_nop
    ldp d10, d11, [sp], #32
    .seh_save_fregp_x d10, 32
    ldp x21, x30, [sp, #32]
    .seh_save_lrpair x21, 32
    ldr d8, [sp, #8]
    .seh_save_freg d8, 8
    ldr d9, [sp], #16
    .seh_save_freg_x d9, 16
    ldr x19, [sp], #32
    .seh_save_reg_x x19, 32
    add sp, sp, #0x100, lsl #12
    .seh_stackalloc 0x100000
    .seh_endepilogue
    ret
1:
    bl asm_note
    b asm_halt
    .seh_endproc

// An interrupted function: its sp and pc stand on the stack of the one that handles it.
    .globl asm_machine_frame
    .p2align 2
asm_machine_frame:
    sub x2, sp, #256
    mov x3, sp
    adr x4, 2f
    stp x3, x4, [x2]
    mov sp, x2
    b asm_handler
2:
    ret

    .p2align 2
asm_handler:
    .seh_proc asm_handler
    nop
    .seh_pushframe
    .seh_endprologue
    nop
    nop
    ldr x3, [sp]
    mov sp, x3
    b 2b
    .seh_endproc

    .section .drectve, "yn"
    .ascii " /export:asm_save_next /export:asm_any_reg /export:asm_singles"

    .data
    .globl g_sink
    .p2align 3
g_sink:
    .xword 0
    .globl g_functions
g_functions:
    .xword 0, 0, 0, 0
